package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Which settings the chosen modules can have, as in PEFT 0.21 or because we say so. */
final class TargetChecks {

    /** PEFT adapts these as bare weights or as a table, and refuses DoRA on the former and a bias on both. */
    private static final Set<Kind> NO_LINEAR_LAYER = EnumSet.of(Kind.ROUTER, Kind.EXPERT, Kind.EMBEDDING);

    private final LoraConfig config;
    private final ModuleTree tree;
    private final List<Target> targets;

    TargetChecks(LoraConfig config, ModuleTree tree, List<Target> targets) {
        this.config = config;
        this.tree = tree;
        this.targets = targets;
    }

    /** @throws UserException for a setting that a target cannot have */
    void requireComputable() {
        if (config.useDora()) {
            requireLinearLayers("use_dora");
        }
        if (config.loraBias()) {
            requireLinearLayers("lora_bias");
        }
        if (config.shareExpertAdapters()) {
            requireAlikeExperts();
        }
        if (config.ensureWeightTying() && tree.tiedHead()) {
            firstOf(EnumSet.of(Kind.EMBEDDING, Kind.HEAD)).ifPresent(module -> {
                throw UserException.badInput(
                        "ensure_weight_tying: " + module.name() + " cannot share a low-rank update with the "
                                + (module.kind() == Kind.HEAD ? "embedding" : "head"),
                        "train both in full (modules_to_save: [" + end(module)
                                + "]), or leave ensure_weight_tying out");
            });
        }
    }

    List<String> warnings() {
        List<String> warnings = new ArrayList<>();
        if (tree.tiedHead()) {
            firstOf(EnumSet.of(Kind.EMBEDDING, Kind.HEAD))
                    .ifPresent(module -> warnings.add(module.name() + " is one tensor with the "
                            + (module.kind() == Kind.HEAD ? "embedding" : "head")
                            + "; its low-rank update changes the one and not the other, so merging will store two"));
        }
        long biasless =
                targets.stream().filter(target -> !target.module().bias()).count();
        if (config.loraBias() && biasless > 0) {
            warnings.add(
                    "lora_bias: " + biasless + " of " + targets.size() + " targets have no bias in the base model ("
                            + targets.stream()
                                    .map(Target::module)
                                    .filter(module -> !module.bias())
                                    .findFirst()
                                    .orElseThrow()
                                    .name()
                            + ", …): PEFT cannot merge those");
        }
        if (config.shareExpertAdapters() && firstOf(EnumSet.of(Kind.EXPERT)).isEmpty()) {
            warnings.add("share_expert_adapters has no effect: no expert is a target");
        }
        return warnings;
    }

    private void requireLinearLayers(String setting) {
        firstOf(NO_LINEAR_LAYER).ifPresent(module -> {
            String what = module.kind() == Kind.ROUTER
                    ? "a router"
                    : module.kind() == Kind.EXPERT ? "an expert" : "an embedding";
            throw UserException.badInput(
                    setting + " cannot be used on " + module.name() + ", which is " + what,
                    "leave " + setting + " out, or target plain linear layers only, for example [attention, mlp]");
        });
    }

    /** One update for all experts means one rank and one scaling, and no expert left out. */
    private void requireAlikeExperts() {
        Map<String, Target> first = new HashMap<>();
        Map<String, Set<Integer>> experts = new HashMap<>();
        for (Target target : targets) {
            if (target.module().kind() == Kind.EXPERT) {
                String projection = projection(target.module());
                Target other = first.putIfAbsent(projection, target);
                if (other != null && (other.r() != target.r() || other.scaling() != target.scaling())) {
                    throw UserException.badInput(
                            "share_expert_adapters: " + target.module().name() + " has r " + target.r() + ", but "
                                    + other.module().name() + " has r " + other.r() + ", or another lora_alpha",
                            "write rank_pattern and alpha_pattern for whole projections, for example {up_proj: 4}");
                }
                experts.computeIfAbsent(projection, _ -> new HashSet<>())
                        .add(target.module().expert());
            }
        }
        for (LinearModule module : tree.modules()) {
            Set<Integer> shared = module.kind() == Kind.EXPERT ? experts.get(projection(module)) : null;
            if (shared != null && !shared.contains(module.expert())) {
                throw UserException.badInput(
                        "share_expert_adapters: the targets leave out " + module.name()
                                + ", but one adapter serves all experts of a layer",
                        "target whole projections, for example [up_proj], or leave share_expert_adapters out");
            }
        }
    }

    /** The name without the expert's number. */
    private static String projection(LinearModule module) {
        return module.layer() + module.name().substring(module.name().lastIndexOf('.'));
    }

    private static String end(LinearModule module) {
        return module.name().substring(module.name().lastIndexOf('.') + 1);
    }

    private Optional<LinearModule> firstOf(Set<Kind> kinds) {
        return targets.stream()
                .map(Target::module)
                .filter(module -> kinds.contains(module.kind()))
                .findFirst();
    }
}
