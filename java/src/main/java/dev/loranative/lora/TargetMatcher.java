package dev.loranative.lora;

import dev.loranative.config.BiasTraining;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
import dev.loranative.lora.FullTarget.Origin;
import dev.loranative.model.LinearModule;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * Decides what is trained: low-rank updates by {@link LowRankMatcher}, whole modules by {@link FullMatcher}, biases, and rows
 * of embeddings by {@link TokenMatcher}. The names are those in the checkpoint; what names nothing is an error.
 */
public final class TargetMatcher {

    private TargetMatcher() {}

    /**
     * The targets may lack low-rank updates if something else is trained; PEFT 0.21 reads an adapter without any only with
     * {@link ModuleNames#NOTHING} as its {@code target_modules}.
     *
     * @throws UserException if an entry names nothing (with the nearest names), everything is excluded, a layer or token does
     *     not exist, an expression is no valid one, settings exclude each other, or nothing would be trained
     */
    public static Targets match(LoraConfig config, ModuleTree tree) {
        FullMatcher full = new FullMatcher(config, tree);
        Optional<ModuleNames> names = DefaultTargets.of(config, tree.modelType());
        LowRankMatcher lowRank = new LowRankMatcher(config, tree.modules(), full::excludes);
        List<Target> list = lowRank.match(names);
        if (list.isEmpty() && isAsked(config)) {
            throw lowRank.nothing(names);
        }
        TargetChecks checks = new TargetChecks(config, tree, list);
        checks.requireComputable();
        List<FullTarget> whole = new ArrayList<>(full.targets());
        List<FullTarget> biases = biases(config, tree, list, whole);
        whole.addAll(biases);
        List<TokenTarget> tokens = TokenMatcher.match(config, tree, full, list);
        if (list.isEmpty() && whole.isEmpty() && tokens.isEmpty()) {
            throw lowRank.nothing(names);
        }
        List<String> warnings = new ArrayList<>(lowRank.warnings());
        warnings.addAll(full.warnings());
        warnings.addAll(checks.warnings());
        if (config.bias() != BiasTraining.NONE && biases.isEmpty()) {
            warnings.add("bias: " + config.bias().name().toLowerCase(Locale.ROOT)
                    + " has no effect: " + (config.bias() == BiasTraining.ALL ? "no part of this model" : "no target")
                    + " has a bias");
        }
        return new Targets(list, whole, tokens, warnings);
    }

    /** Whether low-rank updates were asked for, so that being left without any is a mistake. */
    private static boolean isAsked(LoraConfig config) {
        boolean named = config.targetModules()
                .filter(names -> !names.equals(ModuleNames.of()))
                .filter(names -> !(names instanceof ModuleNames.Pattern pattern && pattern.isNothing()))
                .isPresent();
        return named || !config.targetParameters().isEmpty();
    }

    /** Low-rank updates alone, without defaults. */
    static Targets match(LoraConfig config, List<LinearModule> modules, ModuleNames targetModules) {
        List<PythonRegex> excluding = FullMatcher.excluding(config);
        LowRankMatcher lowRank = new LowRankMatcher(
                config,
                modules,
                module -> NameRule.names(module).stream()
                        .anyMatch(name -> excluding.stream().anyMatch(regex -> regex.matchesWhole(name))));
        List<Target> list = lowRank.match(Optional.of(targetModules));
        if (list.isEmpty()) {
            throw lowRank.nothing(Optional.of(targetModules));
        }
        return new Targets(list, List.of(), List.of(), lowRank.warnings());
    }

    private static List<FullTarget> biases(
            LoraConfig config, ModuleTree tree, List<Target> list, List<FullTarget> whole) {
        List<LinearModule> asked = switch (config.bias()) {
            case NONE -> List.of();
            case ALL -> tree.modules();
            case LORA_ONLY -> list.stream().map(Target::module).toList();
        };
        Set<String> taken = new HashSet<>();
        whole.forEach(target -> taken.add(target.name()));
        return asked.stream()
                .filter(LinearModule::bias)
                .map(module -> new FullTarget(module.name() + ".bias", List.of(module.out()), Origin.BIAS))
                .filter(target -> !taken.contains(target.name()))
                .toList();
    }
}
