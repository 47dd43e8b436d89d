package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.loranative.bench.ModelShape;
import dev.loranative.bench.RandomData;
import dev.loranative.config.TrainConfig;
import dev.loranative.device.CountedDevice;
import dev.loranative.device.CpuDevice;
import dev.loranative.ffi.CountedCalls;
import dev.loranative.model.ModelFiles;
import dev.loranative.model.SyntheticModel;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TrialTrainingTest {

    private static final int BATCH = 8;

    @TempDir
    Path temporary;

    @Test
    void stepsAreThoseOfATrainingAndNothingIsWritten() {
        ReferenceCase reference = ReferenceCase.of("qwen3moe-router");
        QuietListener listener = new QuietListener();
        Training.run(reference.config(temporary.resolve("run"), "--threads", "1"), listener, () -> false);

        Path output = temporary.resolve("trial");
        TrainConfig config = reference.config(output, "--threads", "1");
        List<Double> losses = new ArrayList<>();
        try (TrialTraining trial = TrialTraining.start(
                config,
                ModelFiles.open(config.model().path(), config.model().quantization()),
                CpuDevice.open(1),
                new QuietListener())) {
            for (int i = 0; i < listener.steps.size(); i++) {
                losses.add(trial.step().loss());
            }
            assertThat(trial.trainedParameters()).isPositive();
            assertThat(trial.memory().totalBytes()).isPositive();
        }

        assertThat(losses)
                .isEqualTo(listener.steps.stream().map(StepMetrics::loss).toList());
        assertThat(output).doesNotExist();
    }

    /**
     * Of a mixture of two layers: through how many attentions the backward pass goes, how many norms (an attention has two,
     * of queries and keys), and how many products are a weight's own gradient, which frozen weights have not. A router is
     * above the attention of its layer.
     */
    @ParameterizedTest
    @CsvSource({
        "--target-modules, layers.1.mlp.gate, 0, 1, 0",
        "--target-modules, layers.1.self_attn.o_proj, 0, 2, 0",
        "--target-modules, layers.1.self_attn.q_proj, 1, 4, 0",
        "--target-modules, layers.0.mlp.gate, 1, 5, 0",
        "--target-modules, layers.0.self_attn.q_proj, 2, 8, 0",
        "--modules-to-save, layers.1.mlp.gate, 0, 1, 1"
    })
    void theBackwardPassComputesWhatTheTargetsNeed(
            String trained, String name, int attentions, int norms, int products) {
        Path reference = ReferenceCase.of("qwen3moe-router").folder();
        List<String> flags =
                new ArrayList<>(List.of("--model", reference.resolve("model").toString()));
        flags.addAll(List.of("--data", reference.resolve("data.jsonl").toString()));
        flags.addAll(List.of("--output", temporary.resolve("none").toString(), "--max-steps", "1", trained, name));
        TrainConfig config = TrainConfig.parse(Optional.empty(), flags);
        CountedCalls calls = new CountedCalls();
        try (TrialTraining trial = TrialTraining.start(
                config,
                ModelFiles.open(config.model().path(), config.model().quantization()),
                CountedDevice.open(calls),
                new QuietListener())) {
            calls.clear();
            trial.step();
        }

        assertThat(calls.calls("ln_attention_fwd")).isEqualTo(2);
        assertThat(calls.calls("ln_attention_bwd")).isEqualTo(attentions);
        assertThat(calls.calls("ln_rmsnorm_bwd")).isEqualTo(norms);
        assertThat(calls.calls("ln_matmul")).isEqualTo(products);
    }

    /**
     * The device's memory is that of the plan. On the heap are descriptions of calls, and for every token its id, position
     * and label: far from the kilobyte that a token's hidden state takes once.
     */
    @Test
    void stepsTakeNoMemory() {
        long few = heapBytesOfAStep("32");
        long many = heapBytesOfAStep("512");

        assertThat(few).isLessThan(256 << 10);
        assertThat(many - few).isLessThan(64 * BATCH * (512 - 32));
    }

    private long heapBytesOfAStep(String length) {
        ModelShape shape = ModelShape.named("moe-small");
        Path data = temporary.resolve("data-" + length + ".jsonl");
        RandomData.write(data, shape.config().vocabSize(), BATCH, Integer.parseInt(length));
        List<String> flags = new ArrayList<>(List.of("--model", temporary.toString(), "--data", data.toString()));
        flags.addAll(List.of("--output", temporary.resolve("none").toString(), "--max-steps", "100"));
        flags.addAll(List.of("--max-length", length, "--batch-size", "" + BATCH, "--target-modules", "attention"));
        TrainConfig config = TrainConfig.parse(Optional.empty(), flags);
        CpuDevice device = CpuDevice.open(1);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        try (TrialTraining trial = TrialTraining.start(
                config,
                SyntheticModel.of(shape.config(), config.model().quantization()),
                device,
                new QuietListener())) {
            trial.step();
            long taken = device.allocatedBytes();
            long before = threads.getCurrentThreadAllocatedBytes();
            int steps = 4;
            for (int i = 0; i < steps; i++) {
                trial.step();
            }
            long bytes = (threads.getCurrentThreadAllocatedBytes() - before) / steps;
            assertThat(device.allocatedBytes()).isEqualTo(taken);
            return bytes;
        }
    }
}
