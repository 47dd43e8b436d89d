package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MainTest {

    @TempDir
    Path temporary;

    @ParameterizedTest
    @ValueSource(strings = {"--help", "-h", "help"})
    void help_lists_the_commands(String word) {
        assertThat(CommandRun.of(word).result())
                .contains("train ", "eval ", "generate ", "inspect ", "doctor ")
                .contains("--json", "--stacktrace")
                .startsWith("Usage: lora-native COMMAND");
    }

    @ParameterizedTest
    @ValueSource(strings = {"train", "eval", "generate", "inspect", "doctor"})
    void help_of_a_command_shows_usage_examples_and_keys(String command) {
        CommandRun help = CommandRun.of(command, "--help");

        assertThat(help.result())
                .startsWith("Usage: lora-native " + command)
                .containsPattern("Examples:\n  lora-native " + command)
                .contains("--json");
        assertThat(help.err()).isEmpty();
        assertThat(CommandRun.of("help", command).out()).isEqualTo(help.out());
    }

    @Test
    void help_says_what_keys_mean_and_what_they_are_by_default() {
        assertThat(CommandRun.of("train", "--help").result())
                .containsPattern("--learning-rate NUMBER +the schedule's highest learning rate \\[2.0E-5]")
                .contains("--sample-prompt");
        assertThat(CommandRun.of("generate", "--help").result())
                .containsPattern("--max-new-tokens N +tokens to write at most \\[128]")
                .doesNotContain("--learning-rate");
    }

    @Test
    void version_is_one_line() {
        assertThat(CommandRun.of("--version").result()).matches("lora-native \\S+");
    }

    @Test
    void no_command_is_an_error() {
        assertThat(CommandRun.of().error(2)).isEqualTo("no command given");
    }

    @Test
    void a_mistyped_command_names_the_nearest() {
        CommandRun run = CommandRun.of("trian", "--model", "x");

        assertThat(run.error(2)).isEqualTo("unknown command 'trian'");
        assertThat(run.hint()).startsWith("did you mean train");
    }

    @ParameterizedTest
    @ValueSource(strings = {"plan", "preview", "chat"})
    void a_command_of_later_versions_says_so(String command) {
        assertThat(CommandRun.of(command, "--model", "x").error(2))
                .isEqualTo("command '" + command + "' is not in this version yet");
    }

    @Test
    void an_unknown_option_is_an_error_with_the_nearest_ones() {
        CommandRun run = CommandRun.of("eval", "--per-exampel");

        assertThat(run.error(2)).isEqualTo("unknown flag '--per-exampel'");
        assertThat(run.hint()).contains("--per-example");
        assertThat(CommandRun.of("--modle", "x", "train").error(2)).contains("'--modle'");
        assertThat(CommandRun.of("doctor", "--now").error(2)).isEqualTo("unexpected argument '--now'");
    }

    @Test
    void a_key_is_spelt_with_dashes_or_underscores_and_takes_its_value_either_way() {
        for (String[] spelling : new String[][] {
            {"--target-modules", "router"}, {"--target_modules", "router"}, {"--target_modules=router"}
        }) {
            Object[] args = new Object[spelling.length + 3];
            args[0] = "inspect";
            args[1] = "--model_name_or_path=" + CommandRun.MOE_MODEL;
            System.arraycopy(spelling, 0, args, 2, spelling.length);
            args[args.length - 1] = "--json";

            assertThat(CommandRun.of(args).json().get("trainable")).hasSize(2);
        }
    }

    @Test
    void flags_win_over_the_file_of_config() throws IOException {
        Path yaml = temporary.resolve("run.yaml");
        Files.writeString(yaml, "model_name_or_path: " + CommandRun.MOE_MODEL + "\ntarget_modules: router\nr: 4\n");

        assertThat(CommandRun.of("inspect", "--config", yaml, "--json")
                        .json()
                        .at("/trainable/0/r")
                        .intValue())
                .isEqualTo(4);
        assertThat(CommandRun.of("inspect", "--config", yaml, "--r", "6", "--json")
                        .json()
                        .at("/trainable/0/r")
                        .intValue())
                .isEqualTo(6);
    }

    @Test
    void an_unknown_key_in_the_file_names_file_line_and_the_nearest() throws IOException {
        Path yaml = temporary.resolve("run.yaml");
        Files.writeString(yaml, "r: 4\nlora_alhpa: 8\n");
        CommandRun run = CommandRun.of("train", "--config", yaml);

        assertThat(run.error(2)).contains("lora_alhpa").contains(yaml + ":2");
        assertThat(run.hint()).contains("lora_alpha");
    }

    @Test
    void a_stack_trace_appears_only_when_asked_for() {
        CommandRun run = CommandRun.of("inspect", "--model", temporary, "--stacktrace");

        assertThat(run.exitCode()).isEqualTo(2);
        assertThat(run.err()).contains("UserException", "\tat ", "\nerror: ", "\nhint: ");
        assertThat(CommandRun.of("inspect", "--model", temporary).error(2)).contains(temporary.toString());
        assertThat(CommandRun.of("inspect", "--no-such-key", "--stacktrace").err())
                .contains("\tat ");
    }

    @Test
    void a_value_may_look_like_a_file_of_arguments() {
        assertThat(CommandRun.of("inspect", "--model", "@nowhere").error(2)).contains("@nowhere");
    }
}
