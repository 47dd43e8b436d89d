package dev.loranative.config;

import dev.loranative.errors.UserException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The part of PEFT's {@code LoraConfig} that this version trains with; {@link LoraKeys} holds names, defaults and ranges.
 *
 * @param r rank of targets that no {@code rankPattern} names
 * @param loraAlpha numerator of the scaling of targets that no {@code alphaPattern} names
 * @param loraDropout in [0, 1)
 * @param targetModules empty: the family's default
 * @param layersToTransform numbers of layers, negative ones counted from behind: -1 is the last; empty: every layer
 * @param layersPattern empty: the first number in a name is the layer
 * @param rankPattern in the order given; the first match holds
 * @param alphaPattern as {@code rankPattern}
 * @param targetParameters ends of names of weights, {@code .weight} included
 * @param useRslora scaling alpha/sqrt(r) instead of alpha/r
 * @param useDora weight-decomposed adapters (Liu et al. 2024, arXiv:2402.09353)
 * @param loraBias whether B has a bias
 * @param bias which biases of the base model are trained
 * @param modulesToSave ends of names of modules that are trained in full
 * @param ensureWeightTying PEFT's key for embeddings and heads that are one tensor
 * @param trainableTokens rows of embeddings that are trained in full
 * @param shareExpertAdapters one adapter for all experts of a layer's projection instead of one each
 * @param dialect how the adapter file names routers and experts
 */
public record LoraConfig(
        int r,
        double loraAlpha,
        double loraDropout,
        Optional<ModuleNames> targetModules,
        Optional<ModuleNames> excludeModules,
        List<Integer> layersToTransform,
        List<String> layersPattern,
        Map<String, Integer> rankPattern,
        Map<String, Double> alphaPattern,
        List<String> targetParameters,
        boolean useRslora,
        boolean useDora,
        boolean loraBias,
        BiasTraining bias,
        List<String> modulesToSave,
        boolean ensureWeightTying,
        TrainableTokens trainableTokens,
        boolean shareExpertAdapters,
        AdapterDialect dialect,
        InitLoraWeights initLoraWeights,
        Optional<String> taskType) {

    public LoraConfig {
        layersToTransform = List.copyOf(layersToTransform);
        layersPattern = List.copyOf(layersPattern);
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
        alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
        targetParameters = List.copyOf(targetParameters);
        modulesToSave = List.copyOf(modulesToSave);
    }

    /**
     * @throws UserException for combinations that PEFT refuses too
     */
    public static LoraConfig from(ConfigValues values) {
        LoraConfig config = new LoraConfig(
                values.get(LoraKeys.R),
                values.get(LoraKeys.LORA_ALPHA),
                values.get(LoraKeys.LORA_DROPOUT),
                Optional.ofNullable(values.get(LoraKeys.TARGET_MODULES)),
                Optional.ofNullable(values.get(LoraKeys.EXCLUDE_MODULES)),
                orEmpty(values.get(LoraKeys.LAYERS_TO_TRANSFORM)),
                orEmpty(values.get(LoraKeys.LAYERS_PATTERN)),
                values.get(LoraKeys.RANK_PATTERN),
                values.get(LoraKeys.ALPHA_PATTERN),
                orEmpty(values.get(LoraKeys.TARGET_PARAMETERS)),
                values.get(LoraKeys.USE_RSLORA),
                values.get(LoraKeys.USE_DORA),
                values.get(LoraKeys.LORA_BIAS),
                values.get(LoraKeys.BIAS),
                orEmpty(values.get(LoraKeys.MODULES_TO_SAVE)),
                values.get(LoraKeys.ENSURE_WEIGHT_TYING),
                Optional.ofNullable(values.get(LoraKeys.TRAINABLE_TOKEN_INDICES))
                        .orElse(TrainableTokens.NONE),
                values.get(LoraKeys.SHARE_EXPERT_ADAPTERS),
                values.get(LoraKeys.ADAPTER_DIALECT),
                InitLoraWeights.of(values),
                Optional.ofNullable(values.get(LoraKeys.TASK_TYPE)));
        LoraRules.check(config, values);
        return config;
    }

    /** The same but for the targets. */
    public LoraConfig withTargets(ModuleNames targets) {
        return with(
                r,
                loraAlpha,
                Optional.of(targets),
                rankPattern,
                alphaPattern,
                targetParameters,
                dialect,
                initLoraWeights);
    }

    /** The same but for the target parameters. */
    public LoraConfig withTargetParameters(List<String> parameters) {
        return with(r, loraAlpha, targetModules, rankPattern, alphaPattern, parameters, dialect, initLoraWeights);
    }

    /** The same but for the layout of the adapter file. */
    public LoraConfig withDialect(AdapterDialect layout) {
        return with(r, loraAlpha, targetModules, rankPattern, alphaPattern, targetParameters, layout, initLoraWeights);
    }

    /** The same but for the ranks. */
    public LoraConfig withRanks(
            int newR, double newAlpha, Map<String, Integer> ranks, Map<String, Double> alphas, InitLoraWeights init) {
        return with(newR, newAlpha, targetModules, ranks, alphas, targetParameters, dialect, init);
    }

    private LoraConfig with(
            int newR,
            double newAlpha,
            Optional<ModuleNames> targets,
            Map<String, Integer> ranks,
            Map<String, Double> alphas,
            List<String> parameters,
            AdapterDialect layout,
            InitLoraWeights init) {
        return new LoraConfig(
                newR,
                newAlpha,
                loraDropout,
                targets,
                excludeModules,
                layersToTransform,
                layersPattern,
                ranks,
                alphas,
                parameters,
                useRslora,
                useDora,
                loraBias,
                bias,
                modulesToSave,
                ensureWeightTying,
                trainableTokens,
                shareExpertAdapters,
                layout,
                init,
                taskType);
    }

    /**
     * How an adapter is described whose start was taken out of the base: as an ordinary one of twice the rank that adds the
     * trained and subtracts the first values. The scaling stays.
     */
    public LoraConfig doubled() {
        double factor = scaleOfAlpha();
        Map<String, Integer> ranks = new LinkedHashMap<>();
        rankPattern.forEach((name, rank) -> ranks.put(name, 2 * rank));
        Map<String, Double> alphas = new LinkedHashMap<>();
        alphaPattern.forEach((name, alpha) -> alphas.put(name, factor * alpha));
        return withRanks(2 * r, factor * loraAlpha, ranks, alphas, InitLoraWeights.KAIMING);
    }

    /** What alpha is multiplied by when the rank doubles and the scaling stays. */
    public double scaleOfAlpha() {
        return useRslora ? Math.sqrt(2) : 2;
    }

    /** What a target's update B·A is multiplied by. */
    public static double scaling(double alpha, int r, boolean useRslora) {
        return useRslora ? alpha / Math.sqrt(r) : alpha / r;
    }

    private static <T> List<T> orEmpty(List<T> list) {
        return list == null ? List.of() : list;
    }
}
