package dev.loranative.lora;

import dev.loranative.config.AdapterDialect;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.lora.ExpertGroup.Fused;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * {@link PeftLayout} for mixtures of experts. Since transformers 5 their routers and experts are no modules but weights,
 * the experts' gate and up projections fused into one; PEFT 0.21 turns some names in {@code target_modules} into these
 * weights in every layer. So those names are written only where every layer is meant, and
 * {@code target_parameters} with whole names elsewhere. The fused projection has twice the rank.
 */
final class MoePeftLayout {

    /** Model types whose {@code target_modules} PEFT 0.21 rewrites, with the names that it takes for router and experts. */
    private static final Map<String, Set<String>> REWRITTEN = Map.of(
            "qwen3_moe", Set.of("gate", "gate_proj", "up_proj", "down_proj"),
            "olmoe", Set.of("gate", "gate_proj", "up_proj", "down_proj"),
            "mixtral", Set.of("gate", "w1", "w3", "w2"));

    private final LoraConfig config;
    private final List<LinearModule> all;
    private final Map<Kind, List<AdapterModule>> byKind;
    private final Set<String> rewritten;
    private final Set<String> targetModules = new LinkedHashSet<>();
    private final Set<String> targetParameters = new LinkedHashSet<>();
    private final Map<String, Object> ranks = new LinkedHashMap<>();
    private final Map<String, Object> alphas = new LinkedHashMap<>();
    private final List<ExpertGroup> groups;
    private final List<FusedUpdate> fused = new ArrayList<>();

    private MoePeftLayout(LoraConfig config, ModuleTree tree, List<AdapterModule> adapter) {
        this.config = config;
        this.all = tree.modules();
        this.groups = ExpertGroup.of(tree);
        this.byKind = adapter.stream()
                .collect(Collectors.groupingBy(module -> module.module().kind()));
        this.rewritten = REWRITTEN.getOrDefault(tree.modelType(), Set.of());
    }

    static PeftLayout of(LoraConfig config, ModuleTree tree, List<AdapterModule> adapter) {
        PeftLayout layout = new MoePeftLayout(config, tree, adapter).build();
        if (config.dialect() != AdapterDialect.V4) {
            return layout;
        }
        // With these words PEFT finds the same modules on transformers 4 and on 5.
        boolean alike = layout.settings().get(LoraKeys.TARGET_PARAMETERS.name()) == null;
        return new PeftLayout(
                alike ? layout.settings() : PeftLayout.byName(config, tree, adapter),
                layout.parameters(),
                PeftLayout.Names.CHECKPOINT,
                List.of(),
                alike
                        ? List.of()
                        : List.of(
                                "adapter_dialect v4: PEFT with transformers 4 loads this adapter, PEFT 0.21 with"
                                        + " transformers 5 reads its names as other targets; leave adapter_dialect out for it"));
    }

    private PeftLayout build() {
        addExperts(byKind.getOrDefault(Kind.EXPERT, List.of()));
        addRouters(byKind.getOrDefault(Kind.ROUTER, List.of()));
        addOthers();
        boolean parameters =
                !targetParameters.isEmpty() || targetModules.stream().anyMatch(this::isRewritten);
        Map<String, Object> settings = new HashMap<>();
        settings.put(LoraKeys.TARGET_MODULES.name(), List.copyOf(targetModules));
        settings.put(
                LoraKeys.TARGET_PARAMETERS.name(), targetParameters.isEmpty() ? null : List.copyOf(targetParameters));
        settings.put(LoraKeys.RANK_PATTERN.name(), ranks);
        settings.put(LoraKeys.ALPHA_PATTERN.name(), alphas);
        boolean memory = config.dialect() == AdapterDialect.V5 || !fused.isEmpty();
        return new PeftLayout(
                settings,
                parameters,
                memory ? PeftLayout.Names.MEMORY : PeftLayout.Names.KEPT,
                List.copyOf(fused),
                List.of());
    }

    private boolean isRewritten(String target) {
        return rewritten.contains(target.substring(target.lastIndexOf('.') + 1));
    }

    /** Attention, dense and shared MLPs, head: modules to PEFT too, unless their names are among the rewritten ones. */
    private void addOthers() {
        List<LinearModule> visible = all.stream()
                .filter(module -> module.kind() != Kind.EXPERT && module.kind() != Kind.ROUTER)
                .toList();
        List<AdapterModule> targets = visible.stream()
                .flatMap(module -> byKind.getOrDefault(module.kind(), List.of()).stream()
                        .filter(target -> target.module().equals(module)))
                .toList();
        List<LinearModule> plain = new ArrayList<>();
        for (AdapterModule target : targets) {
            boolean parameter = isRewritten(target.module().name());
            String name = target.module().name() + (parameter ? ".weight" : "");
            if (parameter) {
                targetParameters.add(name);
            } else {
                plain.add(target.module());
            }
            putPattern(name, target.r(), target.alpha());
        }
        targetModules.addAll(PeftLayout.shortest(plain, visible));
    }

    private void addRouters(List<AdapterModule> routers) {
        long known = all.stream().filter(module -> module.kind() == Kind.ROUTER).count();
        boolean every = routers.size() == known;
        for (AdapterModule router : routers) {
            String parameter = inMemory(router.module().name()) + ".weight";
            if (!every) {
                targetParameters.add(parameter);
            } else if (rewritten.isEmpty()) {
                targetParameters.add(lastTwo(inMemory(router.module().name())) + ".weight");
            } else {
                targetModules.add("gate");
            }
            putPattern(parameter, router.r(), router.alpha());
        }
    }

    /** Router and experts of Mixtral have another parent in memory than in the checkpoint. */
    private static String inMemory(String name) {
        return name.replace(".block_sparse_moe.", ".mlp.");
    }

    private static String lastTwo(String name) {
        int last = name.lastIndexOf('.');
        return name.substring(name.lastIndexOf('.', last - 1) + 1);
    }

    private void putPattern(String name, int r, double alpha) {
        String expression = name.replace(".", "\\.");
        if (r != config.r()) {
            ranks.put(expression, r);
        }
        if (alpha != config.loraAlpha()) {
            alphas.put(expression, AdapterConfig.number(alpha));
        }
    }

    private void addExperts(List<AdapterModule> experts) {
        if (experts.isEmpty()) {
            return;
        }
        Map<LinearModule, AdapterModule> found = new HashMap<>();
        experts.forEach(expert -> found.put(expert.module(), expert));
        List<FusedUpdate> updates = new ArrayList<>();
        for (ExpertGroup group : groups) {
            for (Fused weight : Fused.values()) {
                boolean trained = weight.roles().stream()
                        .flatMap(role -> group.experts().get(role).stream())
                        .anyMatch(found::containsKey);
                if (trained) {
                    updates.add(FusedUpdate.of(group, weight, found, config.useRslora()));
                }
            }
        }
        boolean separate = config.dialect() != AdapterDialect.V5 && canBeSeparate(updates);
        boolean plain =
                experts.stream().allMatch(expert -> expert.r() == config.r() && expert.alpha() == config.loraAlpha());
        boolean all = updates.stream().map(FusedUpdate::group).distinct().count() == groups.size()
                && groups.stream()
                                .map(group -> weights(group, updates))
                                .distinct()
                                .count()
                        == 1;
        if (separate && all && plain && !rewritten.isEmpty() && !config.useRslora()) {
            experts.forEach(
                    expert -> targetModules.add(ExpertGroup.leaf(expert.module().name())));
        } else {
            updates.forEach(update -> addParameter(update, updates));
        }
        if (!separate) {
            fused.addAll(updates);
        }
    }

    /** Whether PEFT 0.21 finds every expert's own tensors: it fuses complete layers, down alone or gate, up and down. */
    private boolean canBeSeparate(List<FusedUpdate> updates) {
        for (ExpertGroup group : groups) {
            List<FusedUpdate> own = updates.stream()
                    .filter(update -> update.group().equals(group))
                    .toList();
            // PEFT would look for the gate's tensors under a name that only exists beside down.
            boolean loadable = own.isEmpty() || own.getLast().weight() == Fused.DOWN;
            if (!loadable || own.stream().anyMatch(update -> update.padded() || update.sameA())) {
                return false;
            }
        }
        return true;
    }

    private static List<Fused> weights(ExpertGroup group, List<FusedUpdate> updates) {
        return updates.stream()
                .filter(update -> update.group().equals(group))
                .map(FusedUpdate::weight)
                .toList();
    }

    private void addParameter(FusedUpdate update, List<FusedUpdate> updates) {
        String parameter = update.group().parameter(update.weight());
        long layers = updates.stream()
                .filter(other -> other.weight() == update.weight())
                .count();
        boolean every = layers == groups.size();
        targetParameters.add(
                every
                        ? lastTwo(update.group().memoryName()) + "."
                                + update.weight().leaf()
                        : parameter);
        if (update.weight() == Fused.DOWN) {
            putPattern(parameter, update.r(), update.alpha());
        } else {
            // Always: where experts have their own tensors, no pattern would mean their rank, not the fused one's.
            ranks.put(parameter.replace(".", "\\."), update.r());
            alphas.put(parameter.replace(".", "\\."), AdapterConfig.number(update.alpha()));
        }
    }
}
