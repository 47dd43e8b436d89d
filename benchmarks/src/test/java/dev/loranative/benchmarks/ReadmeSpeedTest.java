package dev.loranative.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReadmeSpeedTest {

    private static final Path ROOT = Path.of("..");

    @TempDir
    Path results;

    @Test
    void theReadmeSaysWhatTheResultsSay() throws IOException {
        String readme = Files.readString(ROOT.resolve("README.md"));
        String section = ReadmeSpeed.section(ROOT.resolve("benchmarks").resolve("results"));

        assertThat(readme).as("run benchmarks/readme").isEqualTo(ReadmeSpeed.replaced(readme, section));
    }

    @Test
    void withoutResultsItSaysSo() throws IOException {
        Files.writeString(results.resolve("README.md"), "not a result");

        assertThat(ReadmeSpeed.section(results)).isEqualTo(ReadmeSpeed.NOTHING_YET);
        assertThat(ReadmeSpeed.section(results.resolve("absent"))).isEqualTo(ReadmeSpeed.NOTHING_YET);
    }

    @Test
    void theNewestResultsCount() throws IOException {
        write("peers-2026-01-02.json", peers(9));
        write("peers-2026-02-01.json", peers(3.456));
        write("sweep-2026-01-05.json", "{}");
        write("kernels-2026-01-03.json", """
                {"date": "2026-01-03", "commit": "def", "processor": "P", "processors": 2,
                 "ops": [
                  {"name": "linear_fwd 512x1024x1024 bf16", "threads": 2, "flops_per_second": 1.5e11, "share_of_peak": 0.81},
                  {"name": "linear_fwd 512x1024x1024 r8", "threads": 2, "flops_per_second": 1e11, "share_of_peak": 0.5}],
                 "steps": [{"shape": "moe-small", "threads": 2, "flops_per_second": 9e10, "share_of_peak": 0.456}]}
                """);

        assertThat(ReadmeSpeed.section(results))
                .contains("transformers 5.1 + PEFT 0.2 on torch 2.3")
                .contains("| moe-small | bf16 | attention | 1,234 | 400 | 3.46 | 100 MiB | 300 MiB |")
                .contains("2026-02-01, commit abc; [peers-2026-02-01](benchmarks/results/peers-2026-02-01.md)")
                .contains("| `linear_fwd 512x1024x1024 bf16` | 2 | 150 | 81 % |")
                .contains("| train step, moe-small | 2 | 90 | 46 % |")
                .contains("[sweep-2026-01-05](benchmarks/results/sweep-2026-01-05.md)")
                .doesNotContain(" r8");
    }

    private void write(String name, String text) throws IOException {
        Files.writeString(results.resolve(name), text);
    }

    private static String peers(double ratio) {
        return """
                {"date": "%s", "commit": "abc", "processor": "P", "processors": 2, "settings": {"threads": 2}, "rows": [
                 {"model": "moe-small", "weights": "bf16", "targets": "attention", "speed_ratio": %s,
                  "lora_native": {"tokens_per_second": 1234, "peak_bytes": 104857600},
                  "peft": {"tokens_per_second": 400, "peak_bytes": 314572800},
                  "peft_settings": {"torch": "2.3", "transformers": "5.1", "peft": "0.2"}}]}
                """.formatted(ratio == 9 ? "2026-01-02" : "2026-02-01", ratio);
    }

    @Test
    void theSectionHasItsPlace() {
        String readme = "a\n" + ReadmeSpeed.BEGIN + "\nold\n" + ReadmeSpeed.END + "\nb\n";

        assertThat(ReadmeSpeed.replaced(readme, "new\n"))
                .isEqualTo("a\n" + ReadmeSpeed.BEGIN + "\n\nnew\n\n" + ReadmeSpeed.END + "\nb\n");
        assertThatThrownBy(() -> ReadmeSpeed.replaced("a", "new")).hasMessageContaining(ReadmeSpeed.BEGIN);
    }
}
