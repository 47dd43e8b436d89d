package dev.loranative.lora;

import dev.loranative.config.Key;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
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
import java.util.function.Function;

/**
 * The targets of an adapter in the words that PEFT 0.21 understands as exactly these modules.
 *
 * <p>On dense models that is what the user wrote, where PEFT reads it alike. On mixtures of experts PEFT rewrites
 * {@code target_modules} and thereby widens it; {@link MoePeftLayout} says the same in words that survive.
 *
 * @param settings of {@code adapter_config.json}
 * @param parameters whether PEFT will train weights instead of modules, which it refuses with dropout
 * @param names how tensors are named
 * @param fused updates of weights that all experts of a layer share; empty if every expert has tensors of its own
 * @param warnings targets that PEFT 0.21 cannot load, one line each
 */
record PeftLayout(
        Map<String, Object> settings, boolean parameters, Names names, List<FusedUpdate> fused, List<String> warnings) {

    /** How modules whose names differ between checkpoint and memory are spelled. */
    enum Names {
        /** As the adapter was read. */
        KEPT,
        /** As in the checkpoint, for transformers 4. */
        CHECKPOINT,
        /** As in memory since transformers 5. */
        MEMORY;

        String spell(AdapterModule module) {
            List<String> aliases = module.module().aliases();
            return switch (this) {
                case KEPT -> module.name();
                case CHECKPOINT -> module.module().name();
                case MEMORY -> aliases.isEmpty() ? module.module().name() : aliases.getFirst();
            };
        }
    }

    static PeftLayout of(LoraConfig config, ModuleTree tree, AdapterTensors tensors) {
        List<AdapterModule> adapter = tensors.modules();
        boolean experts = tree.modules().stream()
                .anyMatch(module -> module.kind() == Kind.ROUTER || module.kind() == Kind.EXPERT);
        PeftLayout layout = experts ? MoePeftLayout.of(config, tree, adapter) : ofDense(config, tree, adapter);
        if (adapter.isEmpty()) {
            layout.settings().put(LoraKeys.TARGET_MODULES.name(), ModuleNames.NOTHING);
        }
        layout.settings().putAll(new FullSettings(config, tree, layout.names()).of(tensors));
        return layout;
    }

    private static PeftLayout ofDense(LoraConfig config, ModuleTree tree, List<AdapterModule> adapter) {
        Map<String, Object> settings = new HashMap<>();
        if (isReadAlike(config, tree, adapter)) {
            put(settings, LoraKeys.TARGET_MODULES, config.targetModules().orElse(null));
            put(settings, LoraKeys.EXCLUDE_MODULES, config.excludeModules().orElse(null));
            put(settings, LoraKeys.LAYERS_TO_TRANSFORM, nullIfEmpty(config.layersToTransform()));
            put(settings, LoraKeys.LAYERS_PATTERN, nullIfEmpty(config.layersPattern()));
            put(settings, LoraKeys.RANK_PATTERN, config.rankPattern());
            settings.put(LoraKeys.ALPHA_PATTERN.name(), numbers(config.alphaPattern()));
        } else {
            settings.putAll(byName(config, tree, adapter));
        }
        return new PeftLayout(settings, false, Names.KEPT, List.of(), List.of());
    }

    /** Every target by the shortest end of its name in the checkpoint that no other module has. */
    static Map<String, Object> byName(LoraConfig config, ModuleTree tree, List<AdapterModule> adapter) {
        Map<String, Object> settings = new HashMap<>();
        List<LinearModule> targets = adapter.stream().map(AdapterModule::module).toList();
        settings.put(LoraKeys.TARGET_MODULES.name(), shortest(targets, tree.modules()));
        putPatterns(settings, config, adapter, module -> module.module().name());
        return settings;
    }

    /** The dropout to write: it has no influence on inference, and PEFT refuses to load others for weights. */
    double dropout(double used) {
        return parameters ? 0 : used;
    }

    private static boolean isReadAlike(LoraConfig config, ModuleTree tree, List<AdapterModule> adapter) {
        ModuleNames names = config.targetModules().orElse(null);
        boolean ours = names == null
                || names instanceof ModuleNames.Pattern pattern && pattern.isAllLinear()
                || usesGroups(names)
                || config.excludeModules().map(PeftLayout::usesGroups).orElse(false)
                || config.layersToTransform().stream().anyMatch(layer -> layer < 0)
                || !config.targetParameters().isEmpty();
        if (ours) {
            return false;
        }
        try {
            List<LinearModule> plain =
                    tree.modules().stream().map(PeftLayout::withoutAliases).toList();
            List<String> read = TargetMatcher.match(config, plain, names).list().stream()
                    .map(target -> target.module().name() + " " + target.r() + " " + target.alpha())
                    .toList();
            List<String> written = adapter.stream()
                    .map(module -> module.module().name() + " " + module.r() + " " + module.alpha())
                    .toList();
            return read.equals(written);
        } catch (UserException e) {
            return false;
        }
    }

    private static boolean usesGroups(ModuleNames names) {
        return names instanceof ModuleNames.Names list && list.names().stream().anyMatch(ModuleNames.GROUPS::contains);
    }

    private static LinearModule withoutAliases(LinearModule module) {
        return new LinearModule(
                module.name(),
                module.kind(),
                module.layer(),
                module.expert(),
                module.out(),
                module.in(),
                module.bias(),
                List.of());
    }

    private static <T> void put(Map<String, Object> settings, Key<T> key, T value) {
        settings.put(key.name(), value == null ? null : key.type().write(value));
    }

    private static <T> List<T> nullIfEmpty(List<T> list) {
        return list.isEmpty() ? null : list;
    }

    private static Map<String, Object> numbers(Map<String, Double> values) {
        Map<String, Object> numbers = new LinkedHashMap<>();
        values.forEach((name, value) -> numbers.put(name, AdapterConfig.number(value)));
        return numbers;
    }

    /** For every target the shortest end of its name, from a dot, that no other module has; without repetition. */
    static List<String> shortest(List<LinearModule> targets, List<LinearModule> all) {
        Set<LinearModule> chosen = Set.copyOf(targets);
        Set<String> taken = new LinkedHashSet<>();
        for (LinearModule module : all) {
            if (!chosen.contains(module)) {
                taken.addAll(ends(module.name()));
            }
        }
        Set<String> names = new LinkedHashSet<>();
        for (LinearModule target : targets) {
            List<String> ends = ends(target.name());
            names.add(ends.stream()
                    .filter(end -> !taken.contains(end))
                    .findFirst()
                    .orElse(target.name()));
        }
        return List.copyOf(names);
    }

    private static List<String> ends(String name) {
        List<String> ends = new ArrayList<>();
        for (int dot = name.lastIndexOf('.'); dot >= 0; dot = name.lastIndexOf('.', dot - 1)) {
            // A number alone says little: layers.0.self_attn rather than 0.self_attn.
            if (!Character.isDigit(name.charAt(dot + 1))) {
                ends.add(name.substring(dot + 1));
            }
        }
        ends.add(name);
        return ends;
    }

    /** Names, as expressions, of the modules whose rank or alpha is not the configuration's. */
    static void putPatterns(
            Map<String, Object> settings,
            LoraConfig config,
            List<AdapterModule> modules,
            Function<AdapterModule, String> name) {
        Map<String, Object> ranks = new LinkedHashMap<>();
        Map<String, Object> alphas = new LinkedHashMap<>();
        for (AdapterModule module : modules) {
            String expression = name.apply(module).replace(".", "\\.");
            if (module.r() != config.r()) {
                ranks.put(expression, module.r());
            }
            if (module.alpha() != config.loraAlpha()) {
                alphas.put(expression, AdapterConfig.number(module.alpha()));
            }
        }
        settings.put(LoraKeys.RANK_PATTERN.name(), ranks);
        settings.put(LoraKeys.ALPHA_PATTERN.name(), alphas);
    }
}
