package dev.loranative.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.errors.UserException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SteppedTrainingTest {

    @TempDir
    Path folder;

    @BeforeEach
    void writeModel() {
        ModelShape.named("moe-small").write(folder);
        RandomData.write(folder.resolve("data.jsonl"), 4096, 4, 8);
    }

    private SteppedTraining start() {
        return SteppedTraining.start(
                folder,
                folder.resolve("data.jsonl"),
                folder.resolve("output"),
                StepSpeed.flags(2, 8, List.of("--device", "cpu", "--threads", "1")));
    }

    @Test
    void everyCallIsOneStepOfTheTrainer() {
        try (SteppedTraining run = start()) {
            // A model that knows nothing gives every word the same chance.
            assertThat(run.step().loss()).isCloseTo(Math.log(4096), within(0.2));
            assertThat(run.step().step()).isEqualTo(2);
            assertThat(run.step()).satisfies(step -> {
                assertThat(step.step()).isEqualTo(3);
                assertThat(step.tokens()).isEqualTo(16);
                assertThat(step.stepMillis()).isPositive();
            });
        }
        assertThat(folder.resolve("output").resolve("metrics.jsonl")).content().hasLineCount(3);
    }

    @Test
    void aRunThatCannotStartSaysWhy() {
        start().close();
        assertThat(folder.resolve("output")).doesNotExist();

        try (SteppedTraining first = start()) {
            first.step();
        }
        try (SteppedTraining second = start()) {
            assertThatThrownBy(second::step)
                    .isInstanceOf(UserException.class)
                    .hasMessageContaining("already holds a run");
        }
    }
}
