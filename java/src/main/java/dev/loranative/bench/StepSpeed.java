package dev.loranative.bench;

import dev.loranative.train.StepMetrics;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * How fast a model of a shape trains: LoRA of rank 8 on the attention projections, sequences of random tokens.
 *
 * @param stepSeconds median over the measured steps
 * @param tokens of a step
 * @param flops of the step's frozen products
 * @param memoryBytes at the end: resident memory of the process, or what the run holds of a GPU's
 * @param firstStepSeconds from a model in files to the end of the first step
 */
public record StepSpeed(
        String shape,
        long parameters,
        double stepSeconds,
        long tokens,
        double flops,
        long memoryBytes,
        double firstStepSeconds) {

    /** Not measured: the first steps touch memory for the first time. */
    private static final int WARM_UP = 2;

    public double tokensPerSecond() {
        return tokens / stepSeconds;
    }

    public double flopsPerSecond() {
        return flops / stepSeconds;
    }

    /** @param machine flags of {@code train} that say where to compute */
    public static StepSpeed measure(ModelShape shape, int batch, int length, int steps, List<String> machine) {
        try (TemporaryFolder folder = TemporaryFolder.create()) {
            Path model = folder.path();
            Path data = model.resolve("data.jsonl");
            long parameters = shape.write(model);
            RandomData.write(data, shape.config().vocabSize(), 8 * batch, length);
            long start = System.nanoTime();
            try (SteppedTraining run =
                    SteppedTraining.start(model, data, model.resolve("output"), flags(batch, length, machine))) {
                StepMetrics last = run.step();
                double firstStep = (System.nanoTime() - start) / 1e9;
                for (int i = 1; i < WARM_UP; i++) {
                    run.step();
                }
                double[] seconds = new double[steps];
                for (int i = 0; i < steps; i++) {
                    last = run.step();
                    seconds[i] = last.stepMillis() / 1e3;
                }
                return new StepSpeed(
                        shape.name(),
                        parameters,
                        median(seconds),
                        last.tokens(),
                        shape.stepFlops(last.tokens()),
                        last.memoryBytes(),
                        firstStep);
            }
        }
    }

    /**
     * Of {@code train}, for attention targets.
     *
     * @param machine flags that say where to compute
     */
    public static List<String> flags(int batch, int length, List<String> machine) {
        List<String> flags =
                new ArrayList<>(List.of("--target-modules", "attention", "--r", "8", "--lora-alpha", "16"));
        flags.addAll(List.of("--per-device-train-batch-size", "" + batch, "--max-length", "" + length));
        flags.addAll(List.of("--lr-scheduler-type", "constant", "--learning-rate", "1e-4"));
        flags.addAll(List.of("--train-sampling-strategy", "sequential", "--gradient-checkpointing", "false"));
        flags.addAll(machine);
        return flags;
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
