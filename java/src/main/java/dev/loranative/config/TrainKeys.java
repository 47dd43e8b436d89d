package dev.loranative.config;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Every key of {@code train} besides {@link LoraKeys} and {@link QuantizationKeys}. Names and defaults are those of transformers' TrainingArguments 5.18
 * and TRL's SFTConfig 1.13; where a default differs, the field says so.
 */
public final class TrainKeys {

    private static final String MODEL_GROUP = "Model and data";
    private static final String TRAINING_GROUP = "Training";
    private static final String MACHINE_GROUP = "Machine";

    public static final Key<Path> MODEL = Key.of(
                    MODEL_GROUP, "model_name_or_path", Scalars.path(), null, "folder of the model, as on the hub")
            .alias("model");
    public static final Key<List<Path>> DATASET = Key.of(
                    MODEL_GROUP, "dataset", Lists.paths(), null, "what to train on: a file or several")
            .alias("data", "dataset_name");
    public static final Key<List<Path>> EVAL_DATASET = Key.of(
                    MODEL_GROUP, "eval_dataset", Lists.paths(), null, "what to evaluate on: a file or several")
            .alias("eval_data");
    public static final Key<Path> OUTPUT_DIR = Key.of(
                    MODEL_GROUP, "output_dir", Scalars.path(), null, "where the adapter and its files go")
            .alias("output");
    public static final Key<Path> INIT_ADAPTER =
            Key.of(MODEL_GROUP, "init_adapter", Scalars.path(), null, "a PEFT adapter to start from");
    public static final Key<Resume> RESUME = Key.of(
                    MODEL_GROUP,
                    "resume_from_checkpoint",
                    Resume.TYPE,
                    Resume.NO,
                    "true continues from the newest checkpoint in output_dir, a folder from that one")
            .orNull();

    public static final Key<Integer> BATCH_SIZE = training(
                    "per_device_train_batch_size", Scalars.count(1), 8, "sequences in a micro-batch")
            .alias("batch_size");
    public static final Key<Integer> EVAL_BATCH_SIZE =
            training("per_device_eval_batch_size", Scalars.count(1), 8, "sequences in a micro-batch of an evaluation");
    public static final Key<Integer> GRADIENT_ACCUMULATION_STEPS =
            training("gradient_accumulation_steps", Scalars.count(1), 1, "micro-batches in an optimizer step");
    public static final Key<Double> NUM_TRAIN_EPOCHS =
            training("num_train_epochs", positive(), 3.0, "how often the data are seen");
    public static final Key<Integer> MAX_STEPS = training(
            "max_steps",
            new ValueType<>() {
                @Override
                public String label() {
                    return "N";
                }

                @Override
                public Integer read(Object raw) throws BadValue {
                    int steps = Scalars.count(-1).read(raw);
                    if (steps == 0) {
                        throw new BadValue("at least 1, or -1 for no limit");
                    }
                    return steps;
                }
            },
            -1,
            "optimizer steps; above 0 it takes the place of num_train_epochs");
    public static final Key<Double> LEARNING_RATE =
            training("learning_rate", notNegative(), 2e-5, "the schedule's highest learning rate");
    public static final Key<ScheduleType> LR_SCHEDULER_TYPE = training(
            "lr_scheduler_type",
            Scalars.choice(ScheduleType.class),
            ScheduleType.LINEAR,
            "how the learning rate goes on after the warm-up");
    public static final Key<Map<String, Object>> LR_SCHEDULER_KWARGS = training(
                    "lr_scheduler_kwargs",
                    Lists.map(Scalars.anything()),
                    Map.of(),
                    "arguments of the schedule, for example {num_cycles: 2}")
            .orNull();
    public static final Key<Double> WARMUP_STEPS = training(
            "warmup_steps", notNegative(), 0.0, "steps in which the learning rate rises; below 1 a share of all steps");
    public static final Key<Double> WARMUP_RATIO = training(
            "warmup_ratio",
            Scalars.number("a number from 0 to 1", value -> value >= 0 && value <= 1),
            0.0,
            "the same as a share of all steps, used when warmup_steps is 0");
    public static final Key<Double> WEIGHT_DECAY =
            training("weight_decay", notNegative(), 0.0, "AdamW's decoupled decay");
    public static final Key<Double> ADAM_BETA1 = training("adam_beta1", beta(), 0.9, "decay of the first moment");
    public static final Key<Double> ADAM_BETA2 = training("adam_beta2", beta(), 0.999, "decay of the second moment");
    public static final Key<Double> ADAM_EPSILON = training("adam_epsilon", notNegative(), 1e-8, "AdamW's epsilon");
    public static final Key<Double> MAX_GRAD_NORM =
            training("max_grad_norm", notNegative(), 1.0, "gradients are scaled down to this norm; 0 = off");
    public static final Key<Double> LORAPLUS_LR_RATIO = training(
                    "loraplus_lr_ratio",
                    Scalars.number("a number above 0", value -> value > 0),
                    null,
                    "LoRA+: matrices B learn so many times as fast as matrices A, for example 16")
            .orNull();
    public static final Key<Double> LORAPLUS_LR_EMBEDDING =
            training("loraplus_lr_embedding", notNegative(), 1e-6, "LoRA+: learning rate of LoRA on embeddings");
    /** TrainingArguments' default is adamw_torch_fused; the arithmetic is the same. */
    public static final Key<String> OPTIM = training(
                    "optim", Scalars.text(), "adamw_torch", "the optimizer; adamw_8bit = AdamW with moments in 8 bits")
            .supportedIf(name ->
                    OptimizerOptions.FLOAT_MOMENTS.contains(name) || OptimizerOptions.EIGHT_BIT_MOMENTS.contains(name));

    public static final Key<Long> SEED =
            training("seed", Scalars.integer(0, Long.MAX_VALUE), 42L, "of the order of the data, A, and dropout");
    public static final Key<String> TRAIN_SAMPLING_STRATEGY = training(
                    "train_sampling_strategy",
                    Scalars.choice("random", "sequential", "group_by_length"),
                    "random",
                    "order of the data in an epoch: random or sequential")
            .supportedIf(value -> !value.equals("group_by_length"));
    public static final Key<Integer> MAX_LENGTH = training(
                    "max_length", Scalars.count(1), 1024, "longer sequences are cut at their end; null = never")
            .alias("max_seq_length")
            .orNull();
    public static final Key<Boolean> PACKING =
            training("packing", Scalars.bool(), false, "").onlyDefault();
    public static final Key<Boolean> COMPLETION_ONLY_LOSS = training(
            "completion_only_loss",
            Scalars.bool(),
            null,
            "train on the completion alone; by default where there is a prompt");
    public static final Key<Boolean> ASSISTANT_ONLY_LOSS =
            training("assistant_only_loss", Scalars.bool(), false, "").onlyDefault();
    /** SFTConfig's default is true; ours takes time for memory where there is too little of it. */
    public static final Key<Boolean> GRADIENT_CHECKPOINTING = training(
            "gradient_checkpointing",
            Scalars.bool(),
            null,
            "recompute layers in the backward pass: less memory; by default where the run does not fit without");
    /** The dtype that frozen weights are kept in; the arithmetic is float32. */
    public static final Key<String> DTYPE = training(
                    "dtype",
                    Scalars.choice("auto", "float32", "bfloat16", "float16"),
                    null,
                    "of the frozen weights; by default as in the file")
            .alias("torch_dtype");
    /** SFTConfig's default is 0.001; here nothing is added that was not asked for. */
    public static final Key<Double> ROUTER_AUX_LOSS_COEF =
            training("router_aux_loss_coef", notNegative(), null, "weight of the load-balancing loss; 0 or null = off");
    /** Not a key of SFTConfig. ST-MoE (Zoph et al. 2022) uses 0.001. */
    public static final Key<Double> ROUTER_Z_LOSS_COEF =
            training("router_z_loss_coef", notNegative(), null, "weight of the routers' z-loss; 0 or null = off");

    public static final Key<Integer> LOGGING_STEPS =
            training("logging_steps", Scalars.count(1), 10, "steps between lines of progress");
    public static final Key<Integer> EVAL_STEPS =
            training("eval_steps", Scalars.count(1), null, "steps between evaluations; null = only at the end");
    public static final Key<Integer> SAVE_STEPS = training(
                    "save_steps", Scalars.count(1), 500, "steps between checkpoints; null = none")
            .orNull();
    public static final Key<Integer> SAVE_TOTAL_LIMIT =
            training("save_total_limit", Scalars.count(1), null, "how many checkpoints stay; null = all");
    public static final Key<List<String>> REPORT_TO = training(
                    "report_to", Lists.of(Scalars.text()), List.of("none"), "further places for metrics; only none yet")
            .orNull()
            .supportedIf(names -> names.stream().allMatch("none"::equals));

    public static final Key<String> SAMPLE_PROMPT = training(
            "sample_prompt",
            Scalars.text(),
            null,
            "a text that the model continues before the first step and after the last, to show what it has learnt");
    public static final Key<Integer> SAMPLE_MAX_NEW_TOKENS =
            training("sample_max_new_tokens", Scalars.count(1), 60, "tokens of such a continuation at most");

    public static final Key<String> DEVICE = Key.of(
            MACHINE_GROUP,
            "device",
            new ValueType<>() {
                @Override
                public String label() {
                    return "auto|cpu|cuda:N";
                }

                @Override
                public String read(Object raw) throws BadValue {
                    if (raw.toString().matches("auto|cpu|cuda(:\\d{1,3})?")) {
                        return raw.toString();
                    }
                    throw new BadValue("auto, cpu or cuda:N");
                }
            },
            "auto",
            "where to compute");
    public static final Key<Integer> THREADS =
            Key.of(MACHINE_GROUP, "threads", Scalars.count(0), 0, "of the CPU; 0 = all that are available");
    public static final Key<Long> MAX_MEMORY =
            Key.of(MACHINE_GROUP, "max_memory", Scalars.bytes(), null, "most memory that may be used, for example 8GB");

    public static final Key<String> PRECISION = Key.of(
            MACHINE_GROUP,
            "precision",
            Scalars.choice("auto", "float32", "bfloat16"),
            "auto",
            "what products multiply in on a GPU; auto: bfloat16 there, float32 on the CPU");
    public static final Key<String> GEMM = Key.of(
            MACHINE_GROUP,
            "gemm",
            Scalars.choice("auto", "own", "cublas", "jcublas"),
            "auto",
            "who computes dense products on a GPU; auto: cuBLAS where it can be loaded");

    /** Where to compute, and with how much: for every command that computes. */
    public static final List<Key<?>> MACHINE = List.of(DEVICE, THREADS, MAX_MEMORY, PRECISION, GEMM);

    /** Model, data, LoRA, quantisation, training, machine: all that {@code train} knows, in the order of its help. */
    public static final List<Key<?>> ALL = all();

    private TrainKeys() {}

    private static List<Key<?>> all() {
        List<Key<?>> keys = new ArrayList<>(List.of(MODEL, DATASET, EVAL_DATASET, OUTPUT_DIR, INIT_ADAPTER, RESUME));
        keys.addAll(LoraKeys.ALL);
        keys.addAll(LoraKeys.INHERITED);
        keys.addAll(QuantizationKeys.ALL);
        keys.addAll(List.of(
                BATCH_SIZE,
                EVAL_BATCH_SIZE,
                GRADIENT_ACCUMULATION_STEPS,
                NUM_TRAIN_EPOCHS,
                MAX_STEPS,
                LEARNING_RATE,
                LR_SCHEDULER_TYPE,
                LR_SCHEDULER_KWARGS,
                WARMUP_STEPS,
                WARMUP_RATIO,
                WEIGHT_DECAY,
                ADAM_BETA1,
                ADAM_BETA2,
                ADAM_EPSILON,
                MAX_GRAD_NORM,
                LORAPLUS_LR_RATIO,
                LORAPLUS_LR_EMBEDDING,
                OPTIM,
                SEED,
                TRAIN_SAMPLING_STRATEGY,
                MAX_LENGTH,
                PACKING,
                COMPLETION_ONLY_LOSS,
                ASSISTANT_ONLY_LOSS,
                GRADIENT_CHECKPOINTING,
                DTYPE,
                ROUTER_AUX_LOSS_COEF,
                ROUTER_Z_LOSS_COEF,
                LOGGING_STEPS,
                EVAL_STEPS,
                SAVE_STEPS,
                SAVE_TOTAL_LIMIT,
                REPORT_TO,
                SAMPLE_PROMPT,
                SAMPLE_MAX_NEW_TOKENS));
        keys.addAll(MACHINE);
        return List.copyOf(keys);
    }

    private static <T> Key<T> training(String name, ValueType<T> type, T defaultValue, String description) {
        return Key.of(TRAINING_GROUP, name, type, defaultValue, description);
    }

    private static ValueType<Double> notNegative() {
        return Scalars.number("a number of at least 0", value -> value >= 0);
    }

    private static ValueType<Double> positive() {
        return Scalars.number("a number above 0", value -> value > 0);
    }

    private static ValueType<Double> beta() {
        return Scalars.number("a number from 0 to below 1", value -> value >= 0 && value < 1);
    }
}
