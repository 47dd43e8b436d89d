package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
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
import java.util.TreeMap;
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

    private static final Map<String, String> ROLES =
            Map.of("gate_proj", "gate", "w1", "gate", "up_proj", "up", "w3", "up", "down_proj", "down", "w2", "down");

    private final LoraConfig config;
    private final List<LinearModule> all;
    private final Map<Kind, List<AdapterModule>> byKind;
    private final Set<String> rewritten;
    private final Set<String> targetModules = new LinkedHashSet<>();
    private final Set<String> targetParameters = new LinkedHashSet<>();
    private final Map<String, Object> ranks = new LinkedHashMap<>();
    private final Map<String, Object> alphas = new LinkedHashMap<>();
    private final List<String> warnings = new ArrayList<>();

    MoePeftLayout(LoraConfig config, ModuleTree tree, List<AdapterModule> adapter) {
        this.config = config;
        this.all = tree.modules();
        this.byKind = adapter.stream()
                .collect(Collectors.groupingBy(module -> module.module().kind()));
        this.rewritten = REWRITTEN.getOrDefault(tree.modelType(), Set.of());
    }

    PeftLayout build() {
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
        return new PeftLayout(settings, parameters, warnings);
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

    /**
     * The experts of one layer.
     *
     * @param roles of gate, up, down, those that every expert trains
     */
    private record Layer(String container, Set<String> roles, int r, double alpha, boolean expressible) {}

    private void addExperts(List<AdapterModule> experts) {
        if (experts.isEmpty()) {
            return;
        }
        Map<String, Long> counts = all.stream()
                .filter(module -> module.kind() == Kind.EXPERT)
                .collect(Collectors.groupingBy(module -> slot(module.name()), TreeMap::new, Collectors.counting()));
        Set<String> containers = all.stream()
                .filter(module -> module.kind() == Kind.EXPERT)
                .map(module -> container(module.name()))
                .collect(Collectors.toCollection(LinkedHashSet::new));
        Map<String, List<AdapterModule>> byContainer = experts.stream()
                .collect(Collectors.groupingBy(
                        module -> container(module.module().name()), LinkedHashMap::new, Collectors.toList()));
        List<Layer> layers = new ArrayList<>();
        byContainer.forEach((container, modules) -> layers.add(layer(container, modules, counts)));
        boolean expressible = layers.stream().allMatch(Layer::expressible);
        boolean every = layers.size() == containers.size()
                && layers.stream().map(Layer::roles).distinct().count() == 1;
        boolean plain =
                layers.stream().allMatch(layer -> layer.r() == config.r() && layer.alpha() == config.loraAlpha());
        if (!expressible) {
            experts.forEach(expert -> targetModules.add(leaf(expert.module().name())));
            warnings.add(
                    "PEFT 0.21 cannot load this adapter: since transformers 5 it takes the experts of a layer together,"
                            + " either down projections alone, or gate, up and down, of one rank");
        } else if (every && plain && !rewritten.isEmpty() && !config.useRslora()) {
            experts.forEach(expert -> targetModules.add(leaf(expert.module().name())));
        } else {
            layers.forEach(layer -> addFused(layer, every));
        }
    }

    private void addFused(Layer layer, boolean every) {
        String container = inMemory(layer.container());
        String prefix = every ? lastTwo(container) : container;
        if (layer.roles().contains("gate")) {
            targetParameters.add(prefix + ".gate_up_proj");
            // Twice the rank must not change the scaling, which is alpha/r or alpha/sqrt(r).
            double alpha = layer.alpha() * (config.useRslora() ? Math.sqrt(2) : 2);
            String expression = (container + ".gate_up_proj").replace(".", "\\.");
            ranks.put(expression, 2 * layer.r());
            alphas.put(expression, AdapterConfig.number(alpha));
        }
        targetParameters.add(prefix + ".down_proj");
        putPattern(container + ".down_proj", layer.r(), layer.alpha());
    }

    private static Layer layer(String container, List<AdapterModule> modules, Map<String, Long> counts) {
        Map<String, Long> found = modules.stream()
                .collect(Collectors.groupingBy(module -> slot(module.module().name()), Collectors.counting()));
        Set<String> roles = found.keySet().stream()
                .map(slot -> ROLES.getOrDefault(leaf(slot), leaf(slot)))
                .collect(Collectors.toSet());
        AdapterModule first = modules.getFirst();
        boolean uniform =
                modules.stream().allMatch(module -> module.r() == first.r() && module.alpha() == first.alpha());
        boolean complete =
                found.entrySet().stream().allMatch(entry -> entry.getValue().equals(counts.get(entry.getKey())));
        boolean loadable = roles.equals(Set.of("down")) || roles.equals(Set.of("gate", "up", "down"));
        return new Layer(container, roles, first.r(), first.alpha(), uniform && complete && loadable);
    }

    /** {@code model.layers.0.mlp.experts} of {@code model.layers.0.mlp.experts.3.up_proj}. */
    private static String container(String expert) {
        return expert.substring(0, expert.lastIndexOf('.', expert.lastIndexOf('.') - 1));
    }

    private static String slot(String expert) {
        return container(expert) + "." + leaf(expert);
    }

    private static String leaf(String name) {
        return name.substring(name.lastIndexOf('.') + 1);
    }
}
