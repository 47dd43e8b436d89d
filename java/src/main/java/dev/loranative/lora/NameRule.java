package dev.loranative.lora;

import dev.loranative.config.ModuleNames;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * One entry of {@code target_modules} or {@code exclude_modules}, or the one expression: which modules it names. A module
 * answers to its name in the checkpoint and to its aliases.
 */
sealed interface NameRule {

    /** How far a rule names a module. */
    enum Match {
        NO,
        /** Named, but {@code layers_to_transform} leaves its layer out. */
        OTHER_LAYER,
        YES
    }

    /** As the user wrote it. */
    String text();

    Match match(LinearModule module, LayerFilter layers);

    /** A whole name, which no layer filter touches, or the end of one behind a dot. */
    record Suffix(String text) implements NameRule {
        @Override
        public Match match(LinearModule module, LayerFilter layers) {
            Match best = Match.NO;
            for (String name : names(module)) {
                if (name.equals(text) || name.endsWith("." + text) && layers.accepts(name)) {
                    return Match.YES;
                }
                if (name.endsWith("." + text)) {
                    best = Match.OTHER_LAYER;
                }
            }
            return best;
        }
    }

    /** A name of {@code target_parameters}: that of a weight, or its end behind a dot. PEFT does not filter it by layer. */
    record Weight(String text) implements NameRule {
        @Override
        public Match match(LinearModule module, LayerFilter layers) {
            for (String weight : weights(module)) {
                if (weight.equals(text) || weight.endsWith("." + text)) {
                    return layers.accepts(module.name()) ? Match.YES : Match.OTHER_LAYER;
                }
            }
            return Match.NO;
        }
    }

    /** An expression for the whole name. */
    record Expression(String text, PythonRegex regex) implements NameRule {
        @Override
        public Match match(LinearModule module, LayerFilter layers) {
            return names(module).stream().anyMatch(regex::matchesWhole) ? Match.YES : Match.NO;
        }
    }

    /** Every module of these kinds: a group, or {@code all-linear}. */
    record Group(String text, Set<Kind> kinds) implements NameRule {
        @Override
        public Match match(LinearModule module, LayerFilter layers) {
            if (!kinds.contains(module.kind())) {
                return Match.NO;
            }
            return layers.accepts(module.name()) ? Match.YES : Match.OTHER_LAYER;
        }
    }

    /** The rules of a setting; a word is a group only if no module has that name. */
    static List<NameRule> of(ModuleNames names, List<LinearModule> modules, String setting) {
        return switch (names) {
            case ModuleNames.Pattern all
            when all.isAllLinear() -> List.of(new Group(all.text(), EnumSet.of(Kind.ATTENTION, Kind.MLP, Kind.EXPERT)));
            case ModuleNames.Pattern nothing when nothing.isNothing() -> List.of();
            case ModuleNames.Pattern one ->
                List.of(new Expression(one.text(), PythonRegex.compile(one.text(), setting)));
            case ModuleNames.Names list -> {
                List<NameRule> rules = new ArrayList<>();
                for (String name : list.names()) {
                    rules.add(ofName(name, modules));
                }
                yield rules;
            }
        };
    }

    private static NameRule ofName(String name, List<LinearModule> modules) {
        if (!ModuleNames.GROUPS.contains(name) || modules.stream().anyMatch(module -> endsWith(module, name))) {
            return new Suffix(name);
        }
        return new Group(
                name,
                EnumSet.of(
                        switch (name) {
                            case "router" -> Kind.ROUTER;
                            case "experts" -> Kind.EXPERT;
                            case "attention" -> Kind.ATTENTION;
                            default -> Kind.MLP;
                        }));
    }

    private static boolean endsWith(LinearModule module, String text) {
        return names(module).stream().anyMatch(name -> name.equals(text) || name.endsWith("." + text));
    }

    /**
     * The names of the module's weight; an expert's is also a part of a weight of all experts, as transformers 5 has them in
     * memory: {@code gate_up_proj} or {@code down_proj}.
     */
    static List<String> weights(LinearModule module) {
        List<String> weights = new ArrayList<>();
        for (String name : names(module)) {
            weights.add(name + ".weight");
        }
        if (module.kind() == Kind.EXPERT) {
            // The last name is spelled as in memory: …mlp.experts.3.up_proj.
            String name = names(module).getLast();
            String projection = name.substring(name.lastIndexOf('.') + 1);
            String experts = name.substring(0, name.length() - projection.length() - 1);
            experts = experts.substring(0, experts.lastIndexOf('.') + 1);
            weights.add(experts + (projection.equals("down_proj") ? "down_proj" : "gate_up_proj"));
        }
        return weights;
    }

    /** The name in the checkpoint, then the aliases. */
    static List<String> names(LinearModule module) {
        List<String> names = new ArrayList<>(List.of(module.name()));
        names.addAll(module.aliases());
        return names;
    }
}
