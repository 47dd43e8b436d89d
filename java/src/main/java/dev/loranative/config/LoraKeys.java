package dev.loranative.config;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Every key of PEFT 0.21's {@code LoraConfig} that a user may set, with PEFT's defaults. */
public final class LoraKeys {

    private static final String GROUP = "LoRA";

    public static final Key<Integer> R = Key.of(
                    GROUP, "r", Scalars.count(1), 8, "rank of the update B·A of every target")
            .alias("lora_r");
    public static final Key<Double> LORA_ALPHA = Key.of(
            GROUP,
            "lora_alpha",
            Scalars.number("a number above 0", value -> value > 0),
            8.0,
            "the update is scaled by lora_alpha / r");
    public static final Key<Double> LORA_DROPOUT = Key.of(
            GROUP,
            "lora_dropout",
            Scalars.number("a number from 0 to below 1", value -> value >= 0 && value < 1),
            0.0,
            "probability with which an input of A is dropped in training");
    public static final Key<ModuleNames> TARGET_MODULES = Key.of(
            GROUP,
            "target_modules",
            Lists.moduleNames(),
            null,
            "what is trained: names or ends of names, a regular expression for whole names, all-linear, or the groups"
                    + " attention, mlp, experts, router");
    public static final Key<ModuleNames> EXCLUDE_MODULES = Key.of(
            GROUP,
            "exclude_modules",
            Lists.moduleNames(),
            null,
            "what is not trained although target_modules names it; matched in the same way");
    public static final Key<List<Integer>> LAYERS_TO_TRANSFORM = Key.of(
            GROUP,
            "layers_to_transform",
            LayerNumbers.TYPE,
            null,
            "numbers of the layers to train, from 0, or from -1 for the last one; last:4 is the last four; needs"
                    + " target_modules as a list");
    public static final Key<List<String>> LAYERS_PATTERN = Key.of(
            GROUP,
            "layers_pattern",
            Lists.of(Scalars.text()),
            null,
            "name of the list of layers, where layers_to_transform must look at another than the first");
    public static final Key<Map<String, Integer>> RANK_PATTERN = Key.of(
            GROUP,
            "rank_pattern",
            Lists.map(Scalars.count(1)),
            Map.of(),
            "other ranks: {regular expression for the end of a name: rank}");
    public static final Key<Map<String, Double>> ALPHA_PATTERN = Key.of(
            GROUP,
            "alpha_pattern",
            Lists.map(Scalars.number("a number above 0", value -> value > 0)),
            Map.of(),
            "other values of lora_alpha: {regular expression for the end of a name: alpha}");
    public static final Key<List<String>> TARGET_PARAMETERS = Key.of(
            GROUP,
            "target_parameters",
            Lists.strict(Scalars.text()),
            null,
            "weights to train by the end of their name, for example mlp.gate.weight");
    public static final Key<Boolean> USE_RSLORA =
            Key.of(GROUP, "use_rslora", Scalars.bool(), false, "scale the update by lora_alpha / sqrt(r)");
    public static final Key<InitLoraWeights> INIT_LORA_WEIGHTS = Key.of(
            GROUP,
            "init_lora_weights",
            InitLoraWeights.TYPE,
            InitLoraWeights.KAIMING,
            "true: A uniform, B zero; gaussian: A normal, B zero; false: both random; orthogonal: both random, B·A zero;"
                    + " olora, pissa: from the weights; loftq: what quantising lost; eva: from the data");
    public static final Key<EvaSettings> EVA_CONFIG = Key.of(
            GROUP, "eva_config", EvaSettings.TYPE, null, "init_lora_weights eva: how ranks are found and shared out");
    public static final Key<LoftqSettings> LOFTQ_CONFIG = Key.of(
                    GROUP, "loftq_config", LoftqSettings.TYPE, LoftqSettings.DEFAULT, "init_lora_weights loftq")
            .orNull();
    public static final Key<String> TASK_TYPE = Key.of(
                    GROUP,
                    "task_type",
                    Scalars.choice(
                            "CAUSAL_LM", "SEQ_CLS", "SEQ_2_SEQ_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"),
                    "CAUSAL_LM",
                    "")
            .orNull()
            .onlyDefault()
            .because("only causal language models are trained here");
    public static final Key<BiasTraining> BIAS = Key.of(
            GROUP,
            "bias",
            Scalars.choice(BiasTraining.class),
            BiasTraining.NONE,
            "which biases of the base model are trained too: none, all, or those of the targets");
    public static final Key<Boolean> USE_DORA = Key.of(
            GROUP, "use_dora", Scalars.bool(), false, "train the length of every weight row beside its direction");
    public static final Key<Boolean> LORA_BIAS = Key.of(
            GROUP, "lora_bias", Scalars.bool(), false, "give B a bias; to be merged, the base layer must have one too");
    public static final Key<List<String>> MODULES_TO_SAVE = Key.of(
            GROUP,
            "modules_to_save",
            Lists.of(Scalars.text()),
            null,
            "modules to train in full, by the end of their name, without regard to dots: mlp.gate, model.norm, lm_head");
    public static final Key<TrainableTokens> TRAINABLE_TOKEN_INDICES = Key.of(
            GROUP,
            "trainable_token_indices",
            TrainableTokens.TYPE,
            null,
            "numbers of tokens whose embeddings are trained in full");
    public static final Key<Boolean> SHARE_EXPERT_ADAPTERS = Key.of(
            GROUP,
            "share_expert_adapters",
            Scalars.bool(),
            false,
            "one adapter for all experts of a layer instead of one each");
    public static final Key<AdapterDialect> ADAPTER_DIALECT = Key.of(
            GROUP,
            "adapter_dialect",
            Scalars.choice(AdapterDialect.class),
            AdapterDialect.AUTO,
            "layout of experts in the adapter file: v4 one tensor each, v5 one for all, auto what PEFT 0.21 loads");
    public static final Key<Boolean> FAN_IN_FAN_OUT = Key.of(GROUP, "fan_in_fan_out", Scalars.bool(), false, "")
            .orNull()
            .onlyDefault()
            .because("it is for weights stored as [in, out], and every supported model stores [out, in]");
    public static final Key<Boolean> ENSURE_WEIGHT_TYING = Key.of(
                    GROUP,
                    "ensure_weight_tying",
                    Scalars.bool(),
                    false,
                    "for PEFT; here an embedding and a head that are one tensor are always trained as one")
            .orNull();
    /** Fields that every PEFT configuration has; of LoRA for training they can say one thing only. */
    public static final List<Key<?>> INHERITED = List.of(
            Key.of(GROUP, "peft_type", Scalars.text(), "LORA", "")
                    .supportedIf(type -> type.equalsIgnoreCase("LORA"))
                    .because("only LoRA is trained here"),
            Key.of(GROUP, "inference_mode", Scalars.bool(), false, "")
                    .onlyDefault()
                    .because("it would freeze the adapter"));

    /** Of {@link #ALL}, those that PEFT does not have: they never stand in an adapter's file. */
    public static final List<Key<?>> OURS = List.of(SHARE_EXPERT_ADAPTERS, ADAPTER_DIALECT);

    /** In the order of the help. */
    public static final List<Key<?>> ALL = all();

    private LoraKeys() {}

    private static List<Key<?>> all() {
        List<Key<?>> keys = new ArrayList<>(List.of(
                R,
                LORA_ALPHA,
                LORA_DROPOUT,
                TARGET_MODULES,
                EXCLUDE_MODULES,
                LAYERS_TO_TRANSFORM,
                LAYERS_PATTERN,
                RANK_PATTERN,
                ALPHA_PATTERN,
                TARGET_PARAMETERS,
                USE_RSLORA,
                INIT_LORA_WEIGHTS,
                EVA_CONFIG,
                LOFTQ_CONFIG,
                TASK_TYPE,
                BIAS,
                USE_DORA,
                LORA_BIAS,
                MODULES_TO_SAVE,
                TRAINABLE_TOKEN_INDICES,
                SHARE_EXPERT_ADAPTERS,
                ADAPTER_DIALECT,
                ENSURE_WEIGHT_TYING,
                FAN_IN_FAN_OUT));
        keys.addAll(UnsupportedLoraKeys.ALL);
        return List.copyOf(keys);
    }
}
