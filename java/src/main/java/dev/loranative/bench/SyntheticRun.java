package dev.loranative.bench;

import dev.loranative.config.MachineOptions;
import dev.loranative.config.TrainConfig;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import dev.loranative.errors.UserException;
import dev.loranative.model.SyntheticModel;
import dev.loranative.train.MemoryPlan;
import dev.loranative.train.StepMetrics;
import dev.loranative.train.TrainListener;
import dev.loranative.train.TrialTraining;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * One training to measure, of a model whose weights are made on the device ({@link SyntheticModel}): the steps are those of
 * {@code train}, on sequences of random tokens.
 *
 * @param tokens of a step: one micro-batch of sequences of the same length, but for one token
 * @param length tokens of a sequence at most
 * @param steps to measure
 * @param seconds after which no further step begins, if one was measured
 * @param flags of {@code train} for quantisation, LoRA and the machine
 */
public record SyntheticRun(
        ModelShape shape, TargetSet targets, int tokens, int length, int steps, double seconds, List<String> flags) {

    /** Not measured: the first steps touch memory for the first time. */
    private static final int WARM_UP = 2;

    /** The batcher begins again after so many steps; the tokens are random, which ones does not matter. */
    private static final int DIFFERENT_STEPS = 4;

    public SyntheticRun {
        flags = List.copyOf(flags);
    }

    /**
     * The model to be made; nothing is made yet.
     *
     * @throws UserException for flags that are wrong or do not fit the model
     */
    public SyntheticModel model() {
        return model(config(Path.of("model"), lengths().size()));
    }

    private SyntheticModel model(TrainConfig config) {
        return SyntheticModel.of(shape.config(), config.model().quantization());
    }

    /**
     * Makes the weights, trains, and forgets all of it.
     *
     * @throws UserException for wrong flags, or a run that failed; a run that does not fit is a result
     */
    public SyntheticSpeed measure() {
        try (TemporaryFolder folder = TemporaryFolder.create()) {
            List<Integer> lengths = lengths();
            TrainConfig config = config(folder.path(), lengths.size());
            RandomData.write(
                    config.data().dataset().getFirst(),
                    shape.config().vocabSize(),
                    Collections.nCopies(DIFFERENT_STEPS, lengths).stream()
                            .flatMap(List::stream)
                            .toList());
            return measure(config);
        }
    }

    private SyntheticSpeed measure(TrainConfig config) {
        Planned planned = new Planned();
        SyntheticModel model = model(config);
        MachineOptions machine = config.machine();
        long start = System.nanoTime();
        Device device = Devices.open(machine.device(), machine.threads(), machine.precision(), machine.gemm());
        OptionalLong free = device instanceof CpuDevice ? OptionalLong.empty() : device.availableBytes();
        try (TrialTraining training = TrialTraining.start(config, model, device, planned)) {
            double prepared = seconds(start);
            Steps taken = steps(training);
            long memory = free.isPresent()
                    ? free.getAsLong() - device.availableBytes().orElseThrow()
                    : taken.memoryBytes();
            return new SyntheticSpeed.Measured(
                    this,
                    taken.seconds(),
                    training.memory(),
                    memory,
                    taken.firstLoss(),
                    training.trainedParameters(),
                    prepared);
        } catch (UserException e) {
            if (e.exitCode() != UserException.DOES_NOT_FIT) {
                throw e;
            }
            return new SyntheticSpeed.DoesNotFit(this, planned.plan, planned.room, e.getMessage(), e.hint());
        }
    }

    /** @param memoryBytes the most that was in use after a step */
    private record Steps(List<Double> seconds, double firstLoss, long memoryBytes) {}

    private Steps steps(TrialTraining training) {
        long start = System.nanoTime();
        StepMetrics step = training.step();
        double firstLoss = step.loss();
        long memory = step.memoryBytes();
        for (int i = 1; i < WARM_UP && seconds(start) < seconds; i++) {
            memory = Math.max(memory, training.step().memoryBytes());
        }
        List<Double> measured = new ArrayList<>();
        while (measured.isEmpty() || (measured.size() < steps && seconds(start) < seconds)) {
            step = training.step();
            memory = Math.max(memory, step.memoryBytes());
            measured.add(step.stepMillis() / 1e3);
        }
        return new Steps(measured, firstLoss, memory);
    }

    private static double seconds(long start) {
        return (System.nanoTime() - start) / 1e9;
    }

    /** As few sequences as hold the tokens, as equal as can be. */
    private List<Integer> lengths() {
        int sequences = Math.ceilDiv(tokens, length);
        List<Integer> lengths = new ArrayList<>();
        for (int i = 0; i < sequences; i++) {
            lengths.add(tokens / sequences + (i < tokens % sequences ? 1 : 0));
        }
        return lengths;
    }

    /** @param folder for the data; nothing is written to it here */
    private TrainConfig config(Path folder, int sequences) {
        List<String> all = new ArrayList<>(List.of("--model", folder.toString()));
        all.addAll(List.of("--data", folder.resolve("data.jsonl").toString()));
        all.addAll(List.of("--output", folder.resolve("output").toString(), "--max-steps", "1000000"));
        all.addAll(List.of("--target-modules", String.join(",", targets.groups())));
        all.addAll(List.of("--per-device-train-batch-size", "" + sequences, "--max-length", "" + length));
        all.addAll(List.of("--lr-scheduler-type", "constant", "--learning-rate", "1e-4"));
        all.addAll(List.of("--train-sampling-strategy", "sequential"));
        all.addAll(flags);
        return TrainConfig.parse(Optional.empty(), all);
    }

    /** Remembers the last plan, for a run that does not fit. */
    private static final class Planned implements TrainListener {

        private Optional<MemoryPlan> plan = Optional.empty();
        private OptionalLong room = OptionalLong.empty();

        @Override
        public void planned(MemoryPlan plan, OptionalLong roomBytes) {
            this.plan = Optional.of(plan);
            this.room = roomBytes;
        }
    }
}
