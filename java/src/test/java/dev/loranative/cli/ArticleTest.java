package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.TensorEntry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The configurations of the article that this project began with, as it prints them. */
class ArticleTest {

    private static final String CONFIGURATION = """
            r: 8
            lora_alpha: 32
            target_modules: [%s]
            lora_dropout: 0.05
            bias: none
            task_type: CAUSAL_LM
            learning_rate: 3e-4
            per_device_train_batch_size: 4
            num_train_epochs: 3
            """;

    private static final String IN_4_BIT = """
            load_in_4bit: true
            bnb_4bit_quant_type: nf4
            bnb_4bit_compute_dtype: bfloat16
            """;

    @TempDir
    Path temporary;

    @ParameterizedTest
    @ValueSource(strings = {"", IN_4_BIT})
    void queries_and_values_of_a_llama(String more) throws IOException {
        Path llama = CommandRun.reference("llama-qv");
        Path output = train(llama.resolve("model"), llama.resolve("data.jsonl"), "q_proj, v_proj", more);

        JsonNode config = json(output.resolve("adapter_config.json"));
        assertThat(texts(config.get("target_modules"))).containsExactlyInAnyOrder("q_proj", "v_proj");
        assertThat(config.get("lora_dropout").doubleValue()).isEqualTo(0.05);
        assertThat(tensors(output)).hasSize(2 * 2 * 2);
        // 8 samples, 4 a step, 3 epochs.
        assertThat(losses(output)).hasSize(6).allMatch(loss -> loss > 0 && loss < 10);
        assertThat(losses(output).getLast()).isLessThan(losses(output).getFirst());
    }

    /** PEFT 0.21 with transformers 5.18: {@code lora.ParamWrapper does not work with lora_dropout != 0}. */
    @ParameterizedTest
    @ValueSource(strings = {"", IN_4_BIT})
    void routers_of_a_mixture_of_experts_with_dropout(String more) throws IOException {
        Path text = CommandRun.EXAMPLE.resolveSibling("data").resolve("alice-eval.txt");
        List<String> rows = Arrays.stream(Files.readString(text).split("\\R\\R"))
                .filter(paragraph -> paragraph.length() > 100)
                .limit(8)
                .map(paragraph -> JsonMapper.shared()
                        .createObjectNode()
                        .put("text", paragraph)
                        .toString())
                .toList();
        Path data = Files.write(temporary.resolve("data.jsonl"), rows);
        Path output = train(CommandRun.EXAMPLE, data, "gate", more);

        assertThat(tensors(output)).hasSize(4 * 2).allMatch(name -> name.contains(".mlp.gate.lora_"));
        assertThat(losses(output)).hasSizeGreaterThanOrEqualTo(3).allMatch(loss -> loss > 0 && loss < 7);
        assertThat(losses(output).getLast()).isLessThan(losses(output).getFirst());
        assertThat(CommandRun.of(
                                "inspect",
                                "--config",
                                temporary.resolve("run.yaml"),
                                "--model",
                                CommandRun.EXAMPLE,
                                "--json")
                        .json()
                        .get("trainable_parameters")
                        .longValue())
                .isEqualTo(4 * 8 * (8 + 128));
    }

    private Path train(Path model, Path data, String targets, String more) throws IOException {
        Path yaml = temporary.resolve("run.yaml");
        Files.writeString(yaml, CONFIGURATION.formatted(targets) + more);
        Path output = temporary.resolve("out");
        CommandRun.of(
                        "train",
                        "--config",
                        yaml,
                        "--model",
                        model,
                        "--data",
                        data,
                        "--output",
                        output,
                        "--logging-steps",
                        "1")
                .result();
        return output;
    }

    private static List<Double> losses(Path output) throws IOException {
        return Files.readAllLines(output.resolve("metrics.jsonl")).stream()
                .map(line -> JsonMapper.shared().readTree(line).path("loss"))
                .filter(JsonNode::isNumber)
                .map(JsonNode::doubleValue)
                .toList();
    }

    private static List<String> tensors(Path output) {
        try (SafetensorsFile file = SafetensorsFile.open(output.resolve("adapter_model.safetensors"))) {
            return file.entries().stream().map(TensorEntry::name).toList();
        }
    }

    private static JsonNode json(Path file) throws IOException {
        return JsonMapper.shared().readTree(Files.readString(file));
    }

    private static List<String> texts(JsonNode array) {
        return array.valueStream().map(JsonNode::stringValue).toList();
    }
}
