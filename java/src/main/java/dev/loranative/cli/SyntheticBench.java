package dev.loranative.cli;

import dev.loranative.bench.ModelShape;
import dev.loranative.bench.SyntheticRun;
import dev.loranative.bench.SyntheticSpeed;
import dev.loranative.bench.TargetSet;
import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.Lists;
import dev.loranative.config.LoraKeys;
import dev.loranative.config.QuantizationKeys;
import dev.loranative.config.Scalars;
import dev.loranative.config.TrainKeys;
import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import dev.loranative.errors.UserException;
import dev.loranative.model.ModelConfig;
import dev.loranative.model.SyntheticModel;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** {@code bench --synthetic}: trains a model of any size whose weights are made on the device, once for every row. */
final class SyntheticBench {

    private static final String GROUP = "Synthetic model";

    static final Key<String> MODEL_CONFIG = Key.of(
            GROUP,
            "model_config",
            Scalars.text(),
            null,
            String.join(", ", ModelShape.configurationNames()) + "; or a config.json, or a folder that holds one");

    static final Key<Boolean> SYNTHETIC = Key.of(
            GROUP,
            "synthetic",
            Scalars.bool(),
            false,
            "train a model of model_config whose weights are made at random in the device's memory");

    static final Key<List<String>> TARGETS = Key.of(
            GROUP,
            "targets",
            Lists.of(Scalars.text()),
            List.of("attention", "router", "experts"),
            "a row of the table for each: attention, mlp, router, experts, some joined by +, or all");

    /** More than any GPU holds activations for; the samples are text in memory until they are read. */
    private static final long MOST_TOKENS = 1 << 20;

    static final Key<List<Long>> TOKENS = Key.of(
            GROUP,
            "tokens",
            Lists.of(Scalars.integer(2, MOST_TOKENS)),
            List.of(2048L, 8192L, 16384L),
            "of a step; a row for each");

    static final Key<Integer> LENGTH =
            Key.of(GROUP, "sequence_length", Scalars.count(2), 2048, "tokens of a sequence at most");

    static final Key<Double> ROW_SECONDS = Key.of(
            GROUP,
            "row_seconds",
            Scalars.number("a number above 0", value -> value > 0),
            60.0,
            "most time for the steps of a row; one is measured in any case");

    /** train decides by what fits; here all rows are to be of the same kind, and large models are the rule. */
    static final Key<Boolean> RECOMPUTE = Key.of(
            GROUP,
            "gradient_checkpointing",
            Scalars.bool(),
            true,
            "recompute layers in the backward pass, as train can");

    static final Key<Boolean> LOAD_IN_4BIT =
            Key.of(GROUP, "load_in_4bit", Scalars.bool(), true, "linear layers in 4 bits, as train can");

    /** What rows are made of; refused without {@link #SYNTHETIC}. */
    private static final List<Key<?>> OWN = List.of(TARGETS, TOKENS, LENGTH, ROW_SECONDS, RECOMPUTE, LOAD_IN_4BIT);

    /** Given to the training as they are. */
    private static final List<Key<?>> PASSED = List.of(
            QuantizationKeys.BNB_4BIT_QUANT_TYPE,
            QuantizationKeys.BNB_4BIT_USE_DOUBLE_QUANT,
            QuantizationKeys.BNB_4BIT_BLOCKSIZE,
            LoraKeys.R,
            TrainKeys.OPTIM,
            TrainKeys.MAX_MEMORY);

    private static final List<Key<?>> MACHINE =
            List.of(TrainKeys.DEVICE, TrainKeys.THREADS, TrainKeys.PRECISION, TrainKeys.GEMM);

    /** Besides those of the machine. */
    static final List<Key<?>> KEYS = Stream.of(List.<Key<?>>of(MODEL_CONFIG, SYNTHETIC), OWN, PASSED)
            .flatMap(List::stream)
            .toList();

    private final ConfigValues values;
    private final Console console;
    private final ModelShape shape;
    private final List<SyntheticRun> runs = new ArrayList<>();

    private SyntheticBench(ConfigValues values, int steps, Console console) {
        this.values = values;
        this.console = console;
        this.shape = ModelShape.configuration(values.get(MODEL_CONFIG));
        List<TargetSet> targets = values.get(TARGETS).stream()
                .map(name -> TargetSet.of(name, shape.config()))
                .toList();
        int length = length(shape.config());
        for (TargetSet set : targets) {
            for (long tokens : values.get(TOKENS)) {
                runs.add(new SyntheticRun(
                        shape, set, Math.toIntExact(tokens), length, steps, values.get(ROW_SECONDS), flags(values)));
            }
        }
    }

    /**
     * Whether it is asked for.
     *
     * @throws UserException if only a part of it is
     */
    static boolean isAsked(ConfigValues values, List<Key<?>> excluded) {
        if (values.get(SYNTHETIC)) {
            if (values.get(MODEL_CONFIG) == null) {
                throw UserException.badInput(
                        "synthetic is set, but model_config is missing",
                        "give --model-config with one of " + String.join(", ", ModelShape.configurationNames())
                                + ", or with a config.json");
            }
            refuse(values, excluded, "does not go with --synthetic", "leave it out");
            return true;
        }
        List<Key<?>> without = new ArrayList<>(KEYS);
        without.remove(SYNTHETIC);
        refuse(values, without, "has no effect without --synthetic", "add --synthetic, or leave it out");
        return false;
    }

    private static void refuse(ConfigValues values, List<Key<?>> keys, String why, String hint) {
        keys.stream().filter(values::isSet).findFirst().ifPresent(key -> {
            throw UserException.badInput(key.name() + " " + why + " (" + values.origin(key) + ")", hint);
        });
    }

    /** @return the exit code */
    static int run(ConfigValues values, int steps, Console console) {
        return new SyntheticBench(values, steps, console).run();
    }

    private int run() {
        SyntheticModel model = runs.getFirst().model();
        BenchReport.Machine machine;
        try (Device device = Devices.open(
                values.get(TrainKeys.DEVICE),
                values.get(TrainKeys.THREADS),
                values.get(TrainKeys.PRECISION),
                values.get(TrainKeys.GEMM))) {
            console.warnOfUnusedGpu(device);
            machine = BenchReport.Machine.of(device);
        }
        console.note("measuring " + runs.size() + (runs.size() == 1 ? " training of " : " trainings of ") + shape.name()
                + ", " + Quantities.bytes(model.weightBytes()) + " of weights, on " + machine.device());
        List<SyntheticSpeed> rows = new ArrayList<>();
        for (SyntheticRun run : runs) {
            SyntheticSpeed row = run.measure();
            console.note(SyntheticReport.line(row));
            rows.add(row);
        }
        SyntheticReport report = new SyntheticReport(machine, shape, model, values, rows);
        if (console.json()) {
            console.result(report.json());
        } else {
            report.text().forEach(console::result);
        }
        if (rows.stream().allMatch(SyntheticSpeed.DoesNotFit.class::isInstance)) {
            SyntheticSpeed.DoesNotFit first = (SyntheticSpeed.DoesNotFit) rows.getFirst();
            throw new UserException(first.message(), first.hint(), UserException.DOES_NOT_FIT);
        }
        return 0;
    }

    private int length(ModelConfig config) {
        int asked = values.get(LENGTH);
        int longest = config.longestSequence();
        if (asked > longest && values.isSet(LENGTH)) {
            throw UserException.badInput(
                    "sequence_length is " + asked + ", but the model takes at most " + longest
                            + " (max_position_embeddings)",
                    "give at most " + longest);
        }
        return Math.min(asked, longest);
    }

    /** Of train. */
    private static List<String> flags(ConfigValues values) {
        List<String> flags = new ArrayList<>();
        flags.addAll(List.of(LOAD_IN_4BIT.flag(), "" + values.get(LOAD_IN_4BIT)));
        flags.addAll(List.of(RECOMPUTE.flag(), "" + values.get(RECOMPUTE)));
        flags.addAll(List.of(LoraKeys.LORA_ALPHA.flag(), "" + 2 * values.get(LoraKeys.R)));
        for (Key<?> key : Stream.concat(PASSED.stream(), MACHINE.stream()).toList()) {
            Object value = key.write(values.get(key));
            if (value != null) {
                flags.addAll(List.of(key.flag(), value.toString()));
            }
        }
        return flags;
    }
}
