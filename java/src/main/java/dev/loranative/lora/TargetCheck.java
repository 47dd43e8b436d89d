package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Compares the updates in a file with the targets in its configuration. A target without tensors would silently stay untrained,
 * and PEFT would silently leave out tensors without a target.
 *
 * <p>On mixtures of experts PEFT's settings may mean less than they name: {@code gate_proj} is the experts' alone since
 * transformers 5, or everything but the experts'. There a whole kind of modules may be absent.
 */
final class TargetCheck {

    private final AdapterSource source;
    private final ModuleTree tree;
    private final List<ExpertGroup> groups;

    TargetCheck(AdapterSource source, ModuleTree tree) {
        this.source = source;
        this.tree = tree;
        this.groups = ExpertGroup.of(tree);
    }

    /**
     * @param found modules that have an update
     * @param fused weights of all experts that have one, by their names in memory
     */
    void check(Set<LinearModule> found, Set<String> fused) {
        LoraConfig lora = source.config().lora();
        List<String> ofExperts =
                lora.targetParameters().stream().filter(this::namesFused).toList();
        Set<LinearModule> wanted = new LinkedHashSet<>();
        for (ExpertGroup group : groups) {
            for (ExpertGroup.Fused weight : ExpertGroup.Fused.values()) {
                if (ofExperts.stream().anyMatch(text -> isNamed(group.parameter(weight), text))) {
                    List<LinearModule> modules = modules(group, weight);
                    wanted.addAll(modules);
                    if (!fused.contains(group.parameter(weight))
                            && modules.stream().noneMatch(found::contains)) {
                        throw missing(group.parameter(weight));
                    }
                }
            }
        }
        boolean others =
                lora.targetModules().isPresent() && !lora.targetModules().get().equals(ModuleNames.of())
                        || lora.targetParameters().size() > ofExperts.size();
        if (others || ofExperts.isEmpty()) {
            List<String> rest = new ArrayList<>(lora.targetParameters());
            rest.removeAll(ofExperts);
            List<LinearModule> targets;
            try {
                targets = TargetMatcher.match(lora.withTargetParameters(rest), tree).list().stream()
                        .map(Target::module)
                        .toList();
            } catch (UserException e) {
                source.warn("cannot compare with the targets in " + AdapterConfig.FILE + ": " + e.getMessage());
                return;
            }
            requireFound(targets, found, wanted);
            wanted.addAll(targets);
        }
        found.stream().filter(module -> !wanted.contains(module)).findFirst().ifPresent(module -> {
            throw source.bad(
                    "unexpected tensors for " + module.name() + ", which " + AdapterConfig.FILE + " does not target",
                    "the two files belong to different adapters, or the targets were changed");
        });
    }

    private void requireFound(List<LinearModule> targets, Set<LinearModule> found, Set<LinearModule> fused) {
        Set<Kind> foundKinds = found.stream()
                .filter(module -> !fused.contains(module))
                .map(LinearModule::kind)
                .collect(Collectors.toSet());
        for (LinearModule target : targets) {
            boolean ambiguous = !groups.isEmpty()
                    && (target.kind() == Kind.MLP || target.kind() == Kind.EXPERT)
                    && !foundKinds.contains(target.kind());
            boolean padded = target.kind() == Kind.EXPERT && source.padding().present();
            if (!found.contains(target) && !ambiguous && !padded) {
                throw missing(target.name());
            }
        }
    }

    private UserException missing(String name) {
        return source.bad(
                "no tensors for " + name + ", which " + AdapterConfig.FILE + " targets",
                "the file is incomplete, or belongs to another configuration");
    }

    private static List<LinearModule> modules(ExpertGroup group, ExpertGroup.Fused weight) {
        return weight.roles().stream()
                .flatMap(role -> group.experts().get(role).stream())
                .toList();
    }

    private boolean namesFused(String text) {
        return groups.stream()
                .anyMatch(group -> List.of(ExpertGroup.Fused.values()).stream()
                        .anyMatch(weight -> isNamed(group.parameter(weight), text)));
    }

    private static boolean isNamed(String parameter, String text) {
        return parameter.equals(text) || parameter.endsWith("." + text);
    }
}
