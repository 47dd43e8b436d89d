package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.SafetensorsWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class MergeCommandTest {

    private static final String IDS = "1,2,3,4,5";

    @TempDir
    Path temporary;

    private CommandRun merge(Path model, Path adapter, Object... more) {
        List<Object> args = new ArrayList<>(List.of("merge", "--model", model, "--adapter", adapter));
        args.addAll(List.of("--output", output()));
        args.addAll(List.of(more));
        return CommandRun.of(args.toArray());
    }

    private CommandRun merge(String reference, Object... more) {
        Path folder = CommandRun.reference(reference);
        return merge(folder.resolve("model"), folder.resolve("adapter_final"), more);
    }

    private Path output() {
        return temporary.resolve("merged");
    }

    private static List<Integer> greedy(Path model, Object... more) {
        List<Object> args = new ArrayList<>(List.of("generate", "--model", model, "--prompt-ids", IDS));
        args.addAll(List.of("--temperature", "0", "--max-new-tokens", "16", "--json"));
        args.addAll(List.of(more));
        return CommandRun.of(args.toArray())
                .json()
                .get("token_ids")
                .valueStream()
                .map(JsonNode::intValue)
                .toList();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "llama-qv",
                "llama-sharded",
                "llama-lm-head",
                "llama-geglu-rslora",
                "llama-patterns",
                "qwen2-yarn-tied",
                "qwen3-tied-regex",
                "qwen2-dora-rslora",
                "qwen2-lora-bias",
                "llama-dora",
                "bias-all",
                "bias-lora-only",
                "embedding-lora",
                "full-head-embedding",
                "full-norms",
                "full-router",
                "full-tied",
                "shared-experts",
                "tokens-tied",
                "tokens-untied",
                "qwen3moe-everything",
                "qwen2moe-everything",
                "mixtral-everything",
                "olmoe-router"
            })
    void inFloat32TheMergedModelIsBasePlusAdapter(String reference) {
        Path folder = CommandRun.reference(reference);
        JsonNode json = merge(reference, "--dtype", "float32", "--json").json();

        assertThat(json.get("dtype").stringValue()).isEqualTo("float32");
        JsonNode logits = json.get("logits");
        assertThat(logits.get("max_difference").doubleValue())
                .isLessThan(1e-5 * logits.get("scale").doubleValue());
        assertThat(logits.get("tokens").intValue()).isEqualTo(32);
        assertThat(json.get("weights").get("changed").intValue()).isPositive();
        assertThat(json.get("weights").get("worst_difference").doubleValue())
                .isLessThan(json.get("weights").get("bound").doubleValue());
        assertThat(greedy(output()))
                .isEqualTo(greedy(folder.resolve("model"), "--adapter", folder.resolve("adapter_final")));
        try (Checkpoint base = Checkpoint.open(folder.resolve("model"));
                Checkpoint merged = Checkpoint.open(output())) {
            Set<String> expected = new HashSet<>(base.names());
            if (json.get("untied").booleanValue()) {
                expected.add("lm_head.weight");
            }
            assertThat(merged.names()).containsExactlyInAnyOrderElementsOf(expected);
        }
    }

    @Test
    void whatIsTrainedAsOneStaysTied() {
        assertThat(merge("full-tied", "--json").json().get("untied").booleanValue())
                .isFalse();
        try (Checkpoint merged = Checkpoint.open(output())) {
            assertThat(merged.contains("lm_head.weight")).isFalse();
        }
    }

    @Test
    void typeAndFilesStayThoseOfTheBase() throws IOException {
        JsonNode json = merge("llama-sharded", "--json").json();
        Path base = CommandRun.reference("llama-sharded").resolve("model");

        assertThat(json.get("dtype").stringValue()).isEqualTo("bfloat16");
        assertThat(json.get("files").intValue()).isEqualTo(2);
        assertThat(names(output())).isEqualTo(names(base));
        JsonNode index =
                JsonMapper.shared().readTree(Files.readString(output().resolve("model.safetensors.index.json")));
        assertThat(index.get("metadata").get("total_size").longValue())
                .isEqualTo(json.get("bytes").longValue());
        JsonNode config = JsonMapper.shared().readTree(Files.readString(output().resolve("config.json")));
        assertThat(config).isEqualTo(JsonMapper.shared().readTree(Files.readString(base.resolve("config.json"))));
        assertThat(Files.readAllBytes(output().resolve("generation_config.json")))
                .isEqualTo(Files.readAllBytes(base.resolve("generation_config.json")));
    }

    @Test
    void filesCanBeLimitedAndTheTypeChosen() {
        JsonNode json = merge("qwen3moe-router", "--max-shard-size", "60kB", "--dtype", "float16", "--json")
                .json();

        assertThat(json.get("files").intValue()).isGreaterThan(2);
        try (Checkpoint merged = Checkpoint.open(output())) {
            assertThat(merged.names())
                    .allMatch(name -> merged.entry(name).type().name().equals("F16"));
        }
    }

    @Test
    void tensorsThatTheModelDoesNotUseAreKept() throws IOException {
        Path model = copyOf(CommandRun.MOE_MODEL);
        edit(model, tensors -> tensors.put("mtp.extra.weight", new float[] {1, 2, 3}));

        assertThat(merge(model, CommandRun.MOE.resolve("adapter_final")).exitCode())
                .isZero();
        try (Checkpoint merged = Checkpoint.open(output())) {
            assertThat(merged.contains("mtp.extra.weight")).isTrue();
        }
    }

    @Test
    void aHeadThatPartsFromItsEmbeddingIsWritten() throws IOException {
        Path tied = CommandRun.reference("qwen3-tied-regex").resolve("model");
        Path adapter = temporary.resolve("adapter");
        Files.createDirectories(adapter);
        int hidden;
        int vocabulary;
        try (Checkpoint base = Checkpoint.open(tied)) {
            List<Long> shape = base.entry("model.embed_tokens.weight").shape();
            vocabulary = Math.toIntExact(shape.get(0));
            hidden = Math.toIntExact(shape.get(1));
        }
        Files.writeString(
                adapter.resolve("adapter_config.json"),
                "{\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":1,\"target_modules\":[\"lm_head\"]}");
        float[] a = new float[hidden];
        float[] b = new float[vocabulary];
        Arrays.fill(a, 0.1f);
        Arrays.fill(b, 0.2f);
        SafetensorsWriter.write(
                adapter.resolve("adapter_model.safetensors"),
                List.of(
                        FloatTensors.of("base_model.model.lm_head.lora_A.weight", List.of(1L, (long) hidden), a),
                        FloatTensors.of("base_model.model.lm_head.lora_B.weight", List.of((long) vocabulary, 1L), b)),
                Map.of("format", "pt"));

        JsonNode json = merge(tied, adapter, "--dtype", "float32", "--json").json();

        assertThat(json.get("untied").booleanValue()).isTrue();
        JsonNode config = JsonMapper.shared().readTree(Files.readString(output().resolve("config.json")));
        assertThat(config.get("tie_word_embeddings").booleanValue()).isFalse();
        try (Checkpoint merged = Checkpoint.open(output())) {
            assertThat(merged.contains("lm_head.weight")).isTrue();
        }
    }

    @Test
    void severalAdaptersAreMergedWithWeights() {
        Path moe = CommandRun.MOE;
        CommandRun run = CommandRun.of(
                "merge",
                "--model",
                CommandRun.MOE_MODEL,
                "--adapter",
                "a=" + moe.resolve("adapter_final"),
                "--adapter",
                "b=" + moe.resolve("adapter_init"),
                "--adapter-weights",
                "0.7,0.3",
                "--dtype",
                "float32",
                "--output",
                output());

        assertThat(run.result()).contains("merged", "logits");
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama-all-linear-nf4", "qwen3moe-everything-nf4"})
    void aBaseIn4BitsIsDequantised(String reference) {
        Path folder = CommandRun.reference(reference);
        JsonNode quantised = merge(reference, "--load-in-4bit", "--dtype", "float32", "--json")
                .json();

        JsonNode logits = quantised.get("logits");
        assertThat(logits.get("max_difference").doubleValue())
                .isLessThan(1e-5 * logits.get("scale").doubleValue());
        assertThat(greedy(output()))
                .isEqualTo(greedy(
                        folder.resolve("model"), "--load-in-4bit", "--adapter", folder.resolve("adapter_final")));

        Path stored = temporary.resolve("stored");
        assertThat(CommandRun.of("quantize", "--model", folder.resolve("model"), "--output", stored)
                        .exitCode())
                .isZero();
        Path second = temporary.resolve("second");
        JsonNode json = CommandRun.of(
                        "merge",
                        "--model",
                        stored,
                        "--adapter",
                        folder.resolve("adapter_final"),
                        "--output",
                        second,
                        "--json")
                .json();
        assertThat(json.get("dtype").stringValue()).isEqualTo("bfloat16");
        assertThat(json.get("logits").get("max_difference").doubleValue())
                .isLessThan(json.get("logits").get("bound").doubleValue());
        try (Checkpoint base = Checkpoint.open(folder.resolve("model"));
                Checkpoint merged = Checkpoint.open(second)) {
            assertThat(merged.names()).containsExactlyInAnyOrderElementsOf(base.names());
        }
    }

    @Test
    void nothingIsOverwritten() throws IOException {
        Files.createDirectories(output());
        Files.writeString(output().resolve("precious"), "x");

        assertThat(merge("llama-qv").error(2)).contains("exists already");
        assertThat(Files.readString(output().resolve("precious"))).isEqualTo("x");

        Files.delete(output().resolve("precious"));
        merge("llama-qv").result();
        assertThat(output().resolve("model.safetensors")).exists();
    }

    @Test
    void aWeightThatIsNoNumberEndsTheMergeAndLeavesNothing() throws IOException {
        Path model = copyOf(CommandRun.MOE_MODEL);
        edit(model, tensors -> tensors.get("model.layers.0.mlp.gate.weight")[5] = Float.NaN);
        CommandRun run = merge(model, CommandRun.MOE.resolve("adapter_final"));

        assertThat(run.exitCode()).isEqualTo(1);
        assertThat(run.err()).contains("error: the merged model.layers.0.mlp.gate.weight is NaN at row 0, column 5");
        assertThat(names(temporary)).doesNotContain("merged").noneMatch(name -> name.contains("partial"));
    }

    @Test
    void float16OverflowIsTold() throws IOException {
        Path model = copyOf(CommandRun.MOE_MODEL);
        edit(model, tensors -> tensors.get("model.norm.weight")[1] = 1e6f);
        CommandRun run = merge(model, CommandRun.MOE.resolve("adapter_final"), "--dtype", "float16");

        assertThat(run.exitCode()).isEqualTo(1);
        assertThat(run.err()).contains("model.norm.weight is 1000000.0", "beyond the range of F16");
        assertThat(Files.exists(output())).isFalse();
    }

    @Test
    void badInputIsFoundBeforeAnythingIsWritten() throws IOException {
        assertThat(merge(CommandRun.MOE_MODEL, CommandRun.reference("llama-qv").resolve("adapter_final"))
                        .exitCode())
                .isEqualTo(2);
        assertThat(merge(CommandRun.MOE_MODEL, temporary.resolve("none")).error(2))
                .contains("none");
        assertThat(merge("llama-qv", "--prompt-ids", "9999").error(2)).contains("9999");
        assertThat(merge("llama-qv", "--prompt-ids", "1", "--prompt", "a").error(2))
                .contains("--prompt");
        assertThat(merge("llama-qv", "--dtype", "int8").error(2)).contains("int8");
        assertThat(merge("llama-qv", "--use", "a").exitCode()).isEqualTo(2);
        Path broken = copyOf(CommandRun.MOE_MODEL);
        Path file = broken.resolve("model.safetensors");
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length - 100));
        assertThat(merge(broken, CommandRun.MOE.resolve("adapter_final")).exitCode())
                .isEqualTo(2);
        assertThat(Files.exists(output())).isFalse();
    }

    private interface Edit {
        void edit(Map<String, float[]> tensors);
    }

    /** Rewrites a model in float32. */
    private static void edit(Path model, Edit edit) {
        Path path = model.resolve("model.safetensors");
        Map<String, float[]> tensors = new TreeMap<>();
        Map<String, List<Long>> shapes = new HashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            file.entries().forEach(entry -> {
                tensors.put(entry.name(), FloatTensors.read(file, entry));
                shapes.put(entry.name(), entry.shape());
            });
        }
        edit.edit(tensors);
        List<SafetensorsWriter.Tensor> written = new ArrayList<>();
        tensors.forEach((name, values) ->
                written.add(FloatTensors.of(name, shapes.getOrDefault(name, List.of((long) values.length)), values)));
        SafetensorsWriter.write(path, written, Map.of("format", "pt"));
    }

    private Path copyOf(Path model) throws IOException {
        Path copy = Files.createTempDirectory(temporary, "model");
        for (String name : names(model)) {
            Files.copy(model.resolve(name), copy.resolve(name));
        }
        return copy;
    }

    private static List<String> names(Path folder) {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
