package dev.loranative.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.device.MachinePeaks;
import dev.loranative.device.SimdTier;
import dev.loranative.tensor.cases.OpCases;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class SuiteResultsTest {

    @TempDir
    Path folder;

    private static final MachinePeaks PEAKS = new MachinePeaks(SimdTier.AVX2, 2, 100e9, 20e9, 18e9, 19e9);

    private SuiteResults results() {
        return results("--threads", "2");
    }

    private SuiteResults results(String... words) {
        OpResult product = new OpResult(OpCases.named("linear_fwd 512x1024x1024"), 2, 20e6, Double.NaN);
        OpResult sum = new OpResult(OpCases.named("axpby 16777216 1.0x+0.0y"), 2, 10e6, 1e6);
        return new SuiteResults(
                new Machine("2026-01-02", "a processor", 2, "a system", "a JVM", "abc"),
                SimdTier.AVX2,
                SuiteOptions.parse(List.of(words)),
                List.of(PEAKS),
                80,
                List.of(product, sum),
                List.of(new StepResult("moe-small", 2, 2, 256, 100e6, 300L << 20)));
    }

    @Test
    void ratesAndSharesFollowFromTimeAndWork() throws Exception {
        List<Path> files = results().write(folder);

        assertThat(files)
                .containsExactly(folder.resolve("kernels-2026-01-02.json"), folder.resolve("kernels-2026-01-02.md"));
        JsonNode json = JsonMapper.shared().readTree(files.getFirst().toFile());
        JsonNode product = json.required("ops").required(0);
        // 2 * 512 * 1024 * 1024 operations in 20 ms, where 100 GFLOP/s are possible.
        assertThat(product.required("flops_per_second").asDouble()).isCloseTo(53.687e9, within(1e6));
        assertThat(product.required("share_of_peak").asDouble()).isCloseTo(0.53687, within(1e-5));
        assertThat(product.required("bound_by").asString()).isEqualTo("arithmetic");
        JsonNode copy = json.required("ops").required(1);
        // 2^24 numbers read and written in 10 ms, where 20 GB/s are possible.
        assertThat(copy.required("bytes_per_second").asDouble()).isCloseTo(13.42e9, within(1e7));
        assertThat(copy.required("share_of_peak").asDouble()).isCloseTo(0.671, within(1e-3));
        assertThat(copy.required("bound_by").asString()).isEqualTo("memory");
        JsonNode step = json.required("steps").required(0);
        assertThat(step.required("tokens_per_second").asDouble()).isEqualTo(5120);
        assertThat(Files.readString(files.getLast()))
                .contains("| linear_fwd 512x1024x1024 | 2 | 20000.00 us |  | 53.69 | 0.42 | 54 % | arithmetic |")
                .contains("| moe-small | 2 | 2 x 256 | 100.0 ms | 5,120 |")
                .contains("commit abc");
    }

    @Test
    void aPartDoesNotTakeThePlaceOfTheWhole() {
        assertThat(results("--only", "axpby").write(folder))
                .containsExactly(
                        folder.resolve("kernels-part-2026-01-02.json"), folder.resolve("kernels-part-2026-01-02.md"));
    }

    @Test
    void optionsAreCheckedBeforeAnythingIsMeasured() {
        assertThat(SuiteOptions.parse(List.of("--quick", "--threads", "1,2,1"))).satisfies(options -> {
            assertThat(options.threads()).containsExactly(1, 2);
            assertThat(options.iterations()).isEqualTo(3);
        });
        assertThat(SuiteOptions.parse(List.of("--only", "^linear_fwd")).wants("separate linear_fwd"))
                .isFalse();
        assertThatThrownBy(() -> SuiteOptions.parse(List.of("--onyl", "x"))).hasMessageContaining("--onyl");
        assertThatThrownBy(() -> SuiteOptions.parse(List.of("--threads", "two")))
                .hasMessageContaining("two");
        assertThatThrownBy(() -> SuiteOptions.parse(List.of("--threads"))).hasMessageContaining("--threads");
        assertThatThrownBy(() -> SuiteOptions.parse(List.of("--threads", "1,0")))
                .hasMessageContaining("at least 1");
        assertThatThrownBy(() -> SuiteOptions.parse(List.of("--only", "("))).hasMessageContaining("--only (");
    }
}
