package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** "What do I write into target_modules?", asked for models of which only config.json is there. */
class InspectSuggestionsTest {

    /** The public shapes of Qwen3-30B-A3B. */
    private static final Path QWEN = Path.of("src", "test", "resources", "model", "public", "qwen3-30b-a3b");

    /** The public shapes of Llama-2-7b. */
    private static final Path LLAMA = Path.of("src", "test", "resources", "model", "public", "llama-2-7b");

    @TempDir
    Path temporary;

    @Test
    void qwen3_30b_is_counted_as_it_is_known() {
        JsonNode json = CommandRun.of("inspect", "--model", QWEN, "--json").json();

        assertThat(json.get("parameters").longValue()).isEqualTo(30_532_122_624L);
        assertThat(json.get("modules")).hasSize(1 + 48 * (4 + 1 + 3 * 128) + 1);
        assertThat(suggestion(json, "attention").get("r").intValue()).isEqualTo(16);
        assertThat(suggestion(json, "attention").get("parameters").longValue()).isEqualTo(13_369_344);
        assertThat(suggestion(json, "router").at("/parameters_by_rank/8").longValue())
                .isEqualTo(835_584);
        assertThat(suggestion(json, "router").at("/parameters_by_rank/16").longValue())
                .isEqualTo(1_671_168);
        // PEFT's fused weights at the same rank: 629,145,600, because gate_proj and up_proj share A there.
        long sharedA = 48L * 128 * 16 * 2048;
        assertThat(suggestion(json, "experts").get("parameters").longValue()).isEqualTo(629_145_600 + sharedA);
        assertThat(suggestion(json, "router").at("/bytes/adapter").longValue()).isEqualTo(4 * 1_671_168);
        assertThat(suggestion(json, "router").at("/bytes/gradients").longValue())
                .isEqualTo(4 * 1_671_168);
        assertThat(suggestion(json, "router").at("/bytes/optimizer").longValue())
                .isEqualTo(8 * 1_671_168);
        assertThat(json.get("suggestions")
                        .valueStream()
                        .map(each -> each.get("name").stringValue()))
                .containsExactly("attention", "router", "experts", "all-linear", "everything");
    }

    /** A byte for each of two moments, and a float32 for 256 of them; LoRA+ counts the blocks of A and of B apart. */
    @Test
    void moments_in_8_bits_cost_a_quarter() {
        JsonNode json = CommandRun.of("inspect", "--model", QWEN, "--optim", "adamw_8bit", "--json")
                .json();
        assertThat(suggestion(json, "router").at("/bytes/optimizer").longValue())
                .isEqualTo(2 * 1_671_168 / 256 * 260);

        String[] one = {"--target-modules", "layers.0.mlp.gate", "--r", "3", "--optim", "paged_adamw_8bit"};
        assertThat(optimizerBytes(one)).isEqualTo(2 * 26 * 260); // 3 (2048 + 128) = 25.5 blocks
        assertThat(optimizerBytes(one, "--loraplus-lr-ratio", "4")).isEqualTo(2 * (24 + 2) * 260);
        assertThat(optimizerBytes(one, "--optim", "adamw_torch")).isEqualTo(2 * 4 * 3 * (2048 + 128));
        assertThat(optimizerBytes(one, "--r", "1")).isEqualTo(2 * 9 * 260); // 8.5
        assertThat(optimizerBytes(one, "--r", "1", "--loraplus-lr-ratio", "4")).isEqualTo(2 * (8 + 1) * 260);
    }

    private static long optimizerBytes(String[] flags, String... more) {
        List<Object> words = new ArrayList<>(List.of("inspect", "--model", QWEN, "--json"));
        words.addAll(List.of(flags));
        words.addAll(List.of(more));
        return CommandRun.of(words.toArray()).json().at("/bytes/optimizer").longValue();
    }

    @Test
    void routers_in_full_are_counted_too() {
        JsonNode json = CommandRun.of("inspect", "--model", QWEN, "--modules-to-save", "gate", "--json")
                .json();

        assertThat(json.get("full")).hasSize(48);
        assertThat(json.at("/full/0/name").stringValue()).isEqualTo("model.layers.0.mlp.gate.weight");
        assertThat(json.at("/full/0/shape").toString()).isEqualTo("[128,2048]");
        assertThat(json.get("trainable_parameters").longValue()).isEqualTo(12_582_912);
        assertThat(json.get("trainable")).isEmpty();
        assertThat(json.get("suggestions")).isEmpty();
    }

    @Test
    void llama_2_7b_is_counted_as_it_is_known() {
        JsonNode json = CommandRun.of("inspect", "--model", LLAMA, "--json").json();

        assertThat(json.get("parameters").longValue()).isEqualTo(6_738_415_616L);
        assertThat(suggestion(json, "q and v").get("r").intValue()).isEqualTo(8);
        assertThat(suggestion(json, "q and v").get("parameters").longValue()).isEqualTo(4_194_304);
        assertThat(suggestion(json, "all-linear").get("parameters").longValue()).isEqualTo(19_988_480);
        assertThat(suggestion(json, "all-linear").get("share").doubleValue()).isEqualTo(19_988_480 / 6_738_415_616.0);
    }

    @ParameterizedTest
    @CsvSource({"6738415616, 8", "13015864320, 16", "30532122624, 16", "68976648192, 64", "1906048, 8"})
    void the_rank_follows_the_size(long parameters, int rank) {
        assertThat(Suggestion.rank(parameters)).isEqualTo(rank);
    }

    @Test
    void every_suggestion_can_be_given_as_it_is_printed() throws IOException {
        JsonNode json = CommandRun.of("inspect", "--model", CommandRun.EXAMPLE, "--json")
                .json();
        String text = CommandRun.of("inspect", "--model", CommandRun.EXAMPLE).result();

        for (JsonNode suggestion : json.get("suggestions")) {
            long parameters = suggestion.get("parameters").longValue();
            String flags = suggestion.get("flags").stringValue();
            Object[] command = ("inspect --model " + CommandRun.EXAMPLE + " --json " + flags).split(" ");
            assertThat(CommandRun.of(command).json().get("trainable_parameters").longValue())
                    .isEqualTo(parameters);
            String yaml = text.lines()
                    .dropWhile(line -> !line.strip().equals(flags))
                    .skip(1)
                    .findFirst()
                    .orElseThrow();
            Path file = temporary.resolve("run.yaml");
            Files.writeString(file, yaml.strip() + "\nr: 8\nlora_alpha: 16\n");
            assertThat(CommandRun.of("inspect", "--model", CommandRun.EXAMPLE, "--config", file, "--json")
                            .json()
                            .get("trainable_parameters")
                            .longValue())
                    .isEqualTo(parameters);
        }
    }

    @Test
    void a_rank_alone_asks_what_it_costs() {
        JsonNode json = CommandRun.of("inspect", "--model", CommandRun.EXAMPLE, "--r", "4", "--json")
                .json();

        assertThat(json.get("trainable")).isEmpty();
        assertThat(suggestion(json, "router").get("parameters").longValue()).isEqualTo(4 * 4 * (8 + 128));
    }

    /** The article's find_all_linear_names and find_router_layers, for every family. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            llama     | q_proj k_proj v_proj o_proj gate_proj up_proj down_proj                              |
            mistral   | q_proj k_proj v_proj o_proj gate_proj up_proj down_proj                              |
            qwen2     | q_proj k_proj v_proj o_proj gate_proj up_proj down_proj                              |
            qwen3     | q_proj k_proj v_proj o_proj gate_proj up_proj down_proj                              |
            qwen3_moe | q_proj k_proj v_proj o_proj gate_proj up_proj down_proj                              | gate
            qwen2_moe | q_proj k_proj v_proj o_proj gate_proj up_proj down_proj shared_expert_gate           | gate
            olmoe     | q_proj k_proj v_proj o_proj gate_proj up_proj down_proj                              | gate
            mixtral   | q_proj k_proj v_proj o_proj w1 w3 w2                                                 | gate
            """)
    void linear_names_and_routers_of_every_family(String family, String linear, String router) throws IOException {
        try (InputStream layout = getClass().getResourceAsStream("/model/layouts/" + family + ".json")) {
            JsonNode config = JsonMapper.shared().readTree(layout).get("config");
            Files.writeString(temporary.resolve("config.json"), config.toString());
        }
        JsonNode names =
                CommandRun.of("inspect", "--model", temporary, "--json").json().get("names");
        assertThat(texts(names.get("linear"))).containsExactlyInAnyOrder(linear.split(" "));
        assertThat(texts(names.get("router"))).isEqualTo(router == null ? List.of() : List.of(router));
        assertThat(texts(names.get("head"))).containsExactly("lm_head");
        assertThat(CommandRun.of("inspect", "--model", temporary, "--list", "linear")
                        .result())
                .isEqualTo(String.join("\n", texts(names.get("linear"))));
        // The names do what they say.
        JsonNode all = CommandRun.of(
                        "inspect",
                        "--model",
                        temporary,
                        "--json",
                        "--target-modules",
                        String.join(",", texts(names.get("linear"))))
                .json();
        assertThat(all.get("trainable")).hasSize((int) all.get("modules")
                .valueStream()
                .filter(module -> List.of("attention", "mlp", "expert")
                        .contains(module.get("kind").stringValue()))
                .count());
    }

    @Test
    void names_that_two_kinds_have_get_a_word_more() throws IOException {
        try (InputStream layout = getClass().getResourceAsStream("/model/layouts/qwen2_moe.json")) {
            JsonNode config = JsonMapper.shared().readTree(layout).get("config");
            Files.writeString(temporary.resolve("config.json"), config.toString());
        }
        assertThat(CommandRun.of("inspect", "--model", temporary, "--list", "mlp")
                        .result()
                        .lines())
                .contains("shared_expert.gate_proj", "mlp.gate_proj", "shared_expert_gate")
                .doesNotContain("gate_proj");
        assertThat(CommandRun.of("inspect", "--model", temporary, "--list", "routers")
                        .error(2))
                .contains("one of linear, attention, mlp, router, experts, embedding, head");
    }

    @Test
    void warnings_and_everything_that_would_be_trained_are_in_both_forms() {
        Object[] command = {
            "inspect",
            "--model",
            LLAMA,
            "--target-modules",
            "q_proj",
            "--modules-to-save",
            "norm",
            "--use-dora",
            "--trainable-token-indices",
            "5,7"
        };
        CommandRun text = CommandRun.of(command);
        JsonNode json = CommandRun.of(withJson(command)).json();

        assertThat(text.err()).contains("'norm' also names input_layernorm, post_attention_layernorm");
        assertThat(texts(json.get("warnings"))).singleElement().asString().contains("'model.norm'");
        assertThat(json.at("/tokens/0").toString())
                .isEqualTo("{\"name\":\"model.embed_tokens\",\"indices\":[5,7],\"parameters\":8192}");
        assertThat(text.result())
                .contains("would be trained: 32 modules, 65 tensors in full, 2 rows of embeddings, ")
                .containsPattern("q_proj +32 +r 8 +alpha 8, DoRA +2,228,224")
                .containsPattern("model\\.norm\\.weight +1 +in full +x \\[4096] +4,096")
                .containsPattern("model\\.embed_tokens\\.weight +2 +rows +x \\[4096] +8,192")
                .containsPattern("adapter file 10 MiB; in training also 10 MiB of gradients and 19 MiB of optimizer");
        assertThat(json.get("trainable_parameters").longValue()).isEqualTo(2_228_224 + 65 * 4096 + 8192);
    }

    @Test
    void a_shared_update_counts_once_a_layer() {
        JsonNode json = CommandRun.of(
                        "inspect", "--model", QWEN, "--target-modules", "experts", "--share-expert-adapters", "--json")
                .json();

        assertThat(json.get("trainable_parameters").longValue()).isEqualTo(48 * 3 * 8 * (2048 + 768));
        assertThat(json.at("/bytes/optimizer").longValue()).isEqualTo(8 * 48 * 3 * 8 * (2048 + 768));
        assertThat(json.at("/bytes/gradients").longValue()).isEqualTo(4L * 48 * 3 * 8 * (2048 + 768));
        assertThat(json.at("/bytes/adapter").longValue()).isEqualTo(4L * 128 * 48 * 3 * 8 * (2048 + 768));
    }

    private static Object[] withJson(Object[] command) {
        Object[] longer = Arrays.copyOf(command, command.length + 1);
        longer[command.length] = "--json";
        return longer;
    }

    private static JsonNode suggestion(JsonNode json, String name) {
        return json.get("suggestions")
                .valueStream()
                .filter(each -> each.get("name").stringValue().equals(name))
                .findFirst()
                .orElseThrow();
    }

    private static List<String> texts(JsonNode array) {
        return array.valueStream().map(JsonNode::stringValue).toList();
    }
}
