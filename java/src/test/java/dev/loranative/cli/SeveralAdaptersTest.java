package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

class SeveralAdaptersTest {

    private static final Path A = CommandRun.MOE.resolve("adapter_final");
    private static final Path B = CommandRun.MOE.resolve("adapter_init");

    @TempDir
    Path temporary;

    private static CommandRun generate(Object... more) {
        List<Object> args = new ArrayList<>(List.of("generate", "--model", CommandRun.MOE_MODEL));
        args.addAll(List.of("--prompt-ids", "1,2,3", "--temperature", "0", "--max-new-tokens", "24", "--json"));
        args.addAll(List.of(more));
        return CommandRun.of(args.toArray());
    }

    private static List<Integer> ids(JsonNode json) {
        return json.get("token_ids").valueStream().map(JsonNode::intValue).toList();
    }

    @Test
    void adaptersAreSwitchedWithoutReloadingTheModel() {
        JsonNode results = generate("--adapter", "a=" + A, "--adapter", "b=" + B, "--use", "a,base,b,a")
                .json()
                .get("results");

        assertThat(results.valueStream().map(result -> result.get("adapter").stringValue()))
                .containsExactly("a", "base", "b", "a");
        assertThat(ids(results.get(0))).isEqualTo(ids(generate("--adapter", A).json()));
        assertThat(ids(results.get(1))).isEqualTo(ids(generate().json()));
        assertThat(ids(results.get(2))).isEqualTo(ids(generate("--adapter", B).json()));
        assertThat(ids(results.get(3))).isEqualTo(ids(results.get(0)));
        assertThat(ids(results.get(0))).isNotEqualTo(ids(results.get(1)));
    }

    @Test
    void aWeightOfOneAloneIsTheAdapterItself() {
        List<Integer> plain = ids(generate("--adapter", A).json());

        assertThat(ids(generate("--adapter", "a=" + A, "--adapter-weights", "1").json()))
                .isEqualTo(plain);
        assertThat(ids(generate("--adapter", "a=" + A, "--adapter", "b=" + B, "--adapter-weights", "1,0")
                        .json()))
                .isEqualTo(plain);
    }

    @Test
    void combineWritesWhatGenerateCombines() throws IOException {
        Path output = Files.createDirectory(temporary.resolve("both"));
        Object[] combine = {
            "combine",
            "--model",
            CommandRun.MOE_MODEL,
            "--adapter",
            "a=" + A,
            "--adapter",
            "b=" + B,
            "--adapter-weights",
            "0.5,0.8",
            "--output",
            output,
            "--json"
        };
        CommandRun run = CommandRun.of(combine);

        assertThat(run.json().get("modules").intValue()).isPositive();
        assertThat(ids(generate("--adapter", output).json()))
                .isEqualTo(ids(generate("--adapter", "a=" + A, "--adapter", "b=" + B, "--adapter-weights", "0.5,0.8")
                        .json()));
        assertThat(Files.exists(output.resolve("README.md"))).isTrue();
        assertThat(CommandRun.of(combine).error(2)).contains("'" + output + "' exists already");
    }

    @Test
    void unclearChoicesAreTold() {
        assertThat(generate("--adapter", "a=" + A, "--adapter", "b=" + B).error(2))
                .contains("2 adapters", "a, b");
        assertThat(generate("--adapter", "a=" + A, "--use", "c").error(2)).contains("'c'", "a");
        assertThat(generate("--adapter", "a=" + A, "--adapter", "a=" + B, "--use", "a")
                        .error(2))
                .contains("two adapters are called 'a'");
        assertThat(generate("--adapter", "a=" + A, "--adapter-weights", "1,2").error(2))
                .contains("2 numbers for 1");
        assertThat(generate("--adapter", "a=" + A, "--adapter-weights", "1", "--use", "a")
                        .error(2))
                .contains("--use and --adapter-weights");
        assertThat(generate("--adapter", "a=" + A, "--combination-type", "linear")
                        .error(2))
                .contains("--combination-type");
        assertThat(generate("--adapter", "base=" + A).error(2)).contains("'base'");
    }
}
