package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

class InspectCommandTest {

    @TempDir
    Path temporary;

    private static List<String> names(JsonNode modules, String kind) {
        return modules.valueStream()
                .filter(module -> module.get("kind").stringValue().equals(kind))
                .map(module -> module.get("name").stringValue())
                .toList();
    }

    @Test
    void the_example_lists_its_routers_and_no_projection_among_them() {
        JsonNode json = CommandRun.of("inspect", "--model", CommandRun.EXAMPLE, "--json")
                .json();

        assertThat(json.get("model_type").stringValue()).isEqualTo("qwen3_moe");
        assertThat(json.get("parameters").longValue()).isEqualTo(1_906_048);
        assertThat(names(json.get("modules"), "router"))
                .containsExactly(
                        "model.layers.0.mlp.gate",
                        "model.layers.1.mlp.gate",
                        "model.layers.2.mlp.gate",
                        "model.layers.3.mlp.gate");
        assertThat(names(json.get("modules"), "expert"))
                .hasSize(4 * 8 * 3)
                .contains("model.layers.0.mlp.experts.7.gate_proj");
        assertThat(names(json.get("modules"), "attention")).hasSize(16);
        assertThat(names(json.get("modules"), "mlp")).isEmpty();
        assertThat(names(json.get("modules"), "embedding")).containsExactly("model.embed_tokens");
        assertThat(names(json.get("modules"), "head")).containsExactly("lm_head");
        assertThat(json.get("trainable")).isEmpty();
        assertThat(json.get("trainable_parameters").longValue()).isZero();
    }

    @Test
    void shapes_are_rows_and_columns_of_the_weight() {
        JsonNode modules = CommandRun.of("inspect", "--model", CommandRun.EXAMPLE, "--json")
                .json()
                .get("modules");
        JsonNode key = modules.valueStream()
                .filter(module -> module.get("name").stringValue().equals("model.layers.2.self_attn.k_proj"))
                .findFirst()
                .orElseThrow();

        assertThat(key.get("shape").toString()).isEqualTo("[64,128]");
    }

    @Test
    void target_options_show_exactly_what_would_be_trained() {
        JsonNode json = CommandRun.of(
                        "inspect",
                        "--model",
                        CommandRun.EXAMPLE,
                        "--target-modules",
                        "gate",
                        "--layers-to-transform",
                        "1,3",
                        "--r",
                        "4",
                        "--lora-alpha",
                        "6",
                        "--json")
                .json();

        assertThat(json.get("trainable").toString())
                .isEqualTo("[{\"name\":\"model.layers.1.mlp.gate\",\"r\":4,\"alpha\":6.0,\"parameters\":544},"
                        + "{\"name\":\"model.layers.3.mlp.gate\",\"r\":4,\"alpha\":6.0,\"parameters\":544}]");
        assertThat(json.get("trainable_parameters").longValue()).isEqualTo(2 * 4 * (8 + 128));
    }

    @Test
    void the_text_groups_modules_and_gives_the_share() {
        String text = CommandRun.of("inspect", "--model", CommandRun.EXAMPLE, "--target-modules", "router,q_proj")
                .result();

        assertThat(text)
                .startsWith("qwen3_moe, 1,906,048 parameters\n")
                .contains("\nrouter: 4 modules\n")
                .containsPattern(
                        "model\\.layers\\.\\{0-3}\\.mlp\\.experts\\.\\{0-7}\\.up_proj +32 +x \\[128, 128] +524,288")
                .contains("\nhead: 1 module, tied to the embedding\n")
                .contains("\nwould be trained: 8 modules, 12,544 parameters, 0.66 % of the model\n");
    }

    @Test
    void the_file_of_a_run_can_be_given_as_it_is() throws IOException {
        Path yaml = temporary.resolve("run.yaml");
        Files.writeString(
                yaml,
                "model_name_or_path: " + CommandRun.MOE_MODEL
                        + "\ndataset: nowhere.jsonl\noutput_dir: nowhere\nlearning_rate: 1.0e-3\ntarget_modules: [experts]\n");

        assertThat(CommandRun.of("inspect", "--config", yaml, "--json").json().get("trainable"))
                .hasSize(2 * 8 * 3);
    }

    @Test
    void an_adapter_shows_what_it_holds() {
        JsonNode json = CommandRun.of(
                        "inspect",
                        "--model",
                        CommandRun.MOE_MODEL,
                        "--adapter",
                        CommandRun.MOE.resolve("adapter_init"),
                        "--json")
                .json();

        assertThat(json.get("trainable"))
                .isNotEmpty()
                .allMatch(module -> module.get("name").stringValue().endsWith("mlp.gate"));
        assertThat(json.get("trainable_parameters").longValue()).isPositive();
    }

    @Test
    void a_setting_beside_an_adapter_that_has_another_is_refused() {
        CommandRun run = CommandRun.of(
                "inspect",
                "--model",
                CommandRun.MOE_MODEL,
                "--adapter",
                CommandRun.MOE.resolve("adapter_init"),
                "--r",
                "3");

        assertThat(run.error(2)).contains("r is 3, but the adapter");
    }

    @Test
    void a_folder_with_only_config_json_is_enough() throws IOException {
        Files.copy(CommandRun.EXAMPLE.resolve("config.json"), temporary.resolve("config.json"));
        CommandRun run = CommandRun.of("inspect", "--model", temporary, "--json");

        assertThat(run.json().get("parameters").longValue()).isEqualTo(1_906_048);
        assertThat(run.err()).startsWith("warning: ").contains("no weights");
    }

    @Test
    void weights_that_do_not_fit_are_refused() throws IOException {
        Files.copy(CommandRun.EXAMPLE.resolve("config.json"), temporary.resolve("config.json"));
        Files.copy(CommandRun.MOE_MODEL.resolve("model.safetensors"), temporary.resolve("model.safetensors"));

        assertThat(CommandRun.of("inspect", "--model", temporary).error(2)).contains(temporary.toString());
    }

    @Test
    void a_target_that_matches_nothing_names_the_nearest() {
        CommandRun run = CommandRun.of("inspect", "--model", CommandRun.EXAMPLE, "--target-modules", "qproj");

        assertThat(run.error(2)).contains("qproj");
        assertThat(run.err()).contains("q_proj");
    }

    @Test
    void all_linear_warns_that_routers_stay_frozen() {
        CommandRun run =
                CommandRun.of("inspect", "--model", CommandRun.EXAMPLE, "--target-modules", "all-linear", "--json");

        assertThat(run.json()
                        .get("trainable")
                        .valueStream()
                        .map(module -> module.get("name").stringValue()))
                .noneMatch(name -> name.endsWith("mlp.gate"));
        assertThat(run.err()).startsWith("warning: ").contains("FROZEN");
    }

    @Test
    void a_model_is_needed_and_must_be_one() {
        assertThat(CommandRun.of("inspect").error(2)).isEqualTo("model_name_or_path is missing");
        assertThat(Stream.of(temporary, temporary.resolve("none"))
                        .map(folder ->
                                CommandRun.of("inspect", "--model", folder).error(2)))
                .allMatch(message -> message.contains(temporary.toString()));
    }
}
