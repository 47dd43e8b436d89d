package dev.loranative.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.bench.SyntheticSpeed.DoesNotFit;
import dev.loranative.bench.SyntheticSpeed.Measured;
import dev.loranative.errors.UserException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SyntheticRunTest {

    private static final List<String> CPU = List.of("--device", "cpu", "--threads", "1", "--load-in-4bit", "true");

    private static SyntheticRun run(
            String shape, String targets, int tokens, int steps, double seconds, String... more) {
        ModelShape model = ModelShape.named(shape);
        List<String> flags = new ArrayList<>(CPU);
        flags.addAll(List.of(more));
        return new SyntheticRun(model, TargetSet.of(targets, model.config()), tokens, 32, steps, seconds, flags);
    }

    /** Parameters: r (in + out) of every target. */
    @ParameterizedTest
    @CsvSource({
        "moe-small, router, per layer 8 * (256 + 16), 8704",
        "moe-small, attention, 'per layer 8 * (768 + 384 + 384 + 768)', 73728",
        "moe-small, experts, 'per layer 16 * 3 * 8 * (256 + 192)', 688128",
        "llama-small, all, 'per layer 4 * 8 * (512 + 512) + 3 * 8 * (512 + 1376)', 468480"
    })
    void trainsWhatIsAsked(String shape, String targets, String how, long parameters) {
        SyntheticSpeed speed = run(shape, targets, 50, 3, 60).measure();

        assertThat(speed).isInstanceOfSatisfying(Measured.class, measured -> {
            assertThat(measured.trainedParameters()).as(how).isEqualTo(parameters);
            assertThat(measured.stepSeconds())
                    .hasSize(3)
                    .allSatisfy(seconds -> assertThat(seconds).isPositive());
            // A model that knows nothing gives every word about the same chance.
            assertThat(measured.firstLoss()).isCloseTo(Math.log(4096), within(0.4));
            assertThat(measured.plan().parts()).containsKeys("weights", "optimizer", "activations");
            assertThat(measured.memoryBytes())
                    .isGreaterThan(measured.plan().parts().get("weights"));
        });
    }

    @Test
    void aRowThatIsLateEndsAfterOneStep() {
        Measured measured =
                (Measured) run("moe-small", "router", 32, 1000, 1e-9).measure();

        assertThat(measured.stepSeconds()).hasSize(1);
        assertThat(measured.seconds()).isEqualTo(measured.firstSeconds()).isEqualTo(measured.lastSeconds());
    }

    @Test
    void whatDoesNotFitIsAResult() {
        SyntheticSpeed weights =
                run("moe-small", "router", 32, 1, 60, "--max-memory", "1MB").measure();
        assertThat(weights).isInstanceOfSatisfying(DoesNotFit.class, refused -> {
            assertThat(refused.message()).contains("the run needs").contains("max_memory is 1.0 MiB");
            assertThat(refused.roomBytes()).hasValue(1_000_000);
            assertThat(refused.plan().orElseThrow().parts()).containsOnlyKeys("weights");
        });

        SyntheticSpeed everything =
                run("moe-small", "experts", 32, 1, 60, "--max-memory", "12MB").measure();
        assertThat(everything).isInstanceOfSatisfying(DoesNotFit.class, refused -> {
            assertThat(refused.plan().orElseThrow().parts()).containsKeys("weights", "adapters", "activations");
            assertThat(refused.plan().orElseThrow().totalBytes())
                    .isGreaterThan(refused.roomBytes().orElseThrow());
        });
    }

    @Test
    void wrongFlagsAreFoundBeforeWork() {
        assertThatThrownBy(() -> run("moe-small", "router", 32, 1, 60, "--bnb-4bit-blocksize", "65")
                        .model())
                .isInstanceOf(UserException.class)
                .hasMessageContaining("65");
    }

    @Test
    void endsAreTheFirstAndTheLastTenSteps() {
        List<Double> seconds = new ArrayList<>();
        for (int i = 1; i <= 200; i++) {
            seconds.add((double) i);
        }
        Measured measured = new Measured(run("moe-small", "router", 32, 1, 60), seconds, null, 0, 0, 0, 0);

        assertThat(measured.seconds()).isEqualTo(100.5);
        assertThat(measured.firstSeconds()).isEqualTo(5.5);
        assertThat(measured.lastSeconds()).isEqualTo(195.5);
    }
}
