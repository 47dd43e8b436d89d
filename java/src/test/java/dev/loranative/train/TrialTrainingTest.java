package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.config.TrainConfig;
import dev.loranative.device.CpuDevice;
import dev.loranative.model.ModelFiles;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrialTrainingTest {

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
}
