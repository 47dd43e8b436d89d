package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsWriter.Tensor;
import dev.loranative.quant.FourBitFixture;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

class QuantizeCommandTest {

    @TempDir
    Path temporary;

    private CommandRun quantize(Path model, Path output, Object... more) {
        List<Object> args = new ArrayList<>(List.of("quantize", "--model", model, "--output", output));
        args.addAll(List.of(more));
        return CommandRun.of(args.toArray());
    }

    private double loss(Path model, Path data, Object... more) {
        List<Object> args = new ArrayList<>(List.of("eval", "--model", model, "--data", data, "--json"));
        args.addAll(List.of(more));
        return CommandRun.of(args.toArray()).json().get("loss").doubleValue();
    }

    private static Map<String, Tensor> tensors(Path model) throws IOException {
        return FourBitFixture.tensors(model.resolve("model.safetensors"));
    }

    private static byte[] bytes(Tensor tensor) {
        return tensor.data().toArray(ValueLayout.JAVA_BYTE);
    }

    /**
     * Names, types, shapes, codes, states: all as bitsandbytes wrote them. Only of the scales in double quantisation does
     * its CPU version round two of 270 to a neighbour of the nearest value (it looks them up in a table).
     */
    @Test
    void itWritesWhatBitsandbytesWrites() throws IOException {
        Path output = temporary.resolve("nf4");
        quantize(FourBitFixture.ODD_SOURCE, output, "--bnb-4bit-use-double-quant")
                .result();

        Map<String, Tensor> expected = tensors(FourBitFixture.ODD);
        Map<String, Tensor> actual = tensors(output);
        assertThat(actual.keySet()).isEqualTo(expected.keySet());
        int differentScales = 0;
        for (Tensor want : expected.values()) {
            Tensor found = actual.get(want.name());
            assertThat(found.type()).as(want.name()).isEqualTo(want.type());
            assertThat(found.shape()).as(want.name()).isEqualTo(want.shape());
            if (want.name().endsWith(".absmax") && !want.name().endsWith("nested_absmax")) {
                byte[] a = bytes(found);
                byte[] b = bytes(want);
                for (int i = 0; i < a.length; i++) {
                    assertThat(Math.abs(a[i] - b[i])).isLessThanOrEqualTo(1);
                    differentScales += a[i] == b[i] ? 0 : 1;
                }
            } else {
                assertThat(bytes(found)).as(want.name()).isEqualTo(bytes(want));
            }
        }
        assertThat(differentScales).isEqualTo(2);
        assertThat(quantizationConfig(output)).isEqualTo(quantizationConfig(FourBitFixture.ODD));
    }

    private static JsonNode quantizationConfig(Path model) throws IOException {
        return Console.JSON
                .readTree(Files.readString(model.resolve("config.json")))
                .get("quantization_config");
    }

    @Test
    void trainingOnItIsTrainingWithLoadIn4bit() throws IOException {
        Path reference = CommandRun.reference("qwen3moe-everything-nf4");
        Path output = temporary.resolve("nf4");
        quantize(reference.resolve("model"), output).result();

        byte[] quantised = train(output, "one");
        byte[] onTheWay = train(reference.resolve("model"), "two", "--load-in-4bit");

        assertThat(quantised).isEqualTo(onTheWay);
        assertThat(quantised).isNotEqualTo(train(reference.resolve("model"), "three"));
        assertThat(train(reference.resolve("model"), "four", "--load-in-4bit", "--threads", "1"))
                .isEqualTo(onTheWay);
    }

    private byte[] train(Path model, String name, Object... more) throws IOException {
        Path output = temporary.resolve(name);
        List<Object> args = new ArrayList<>(List.of(
                "train",
                "--model",
                model,
                "--data",
                CommandRun.reference("qwen3moe-everything-nf4").resolve("data.jsonl"),
                "--output",
                output,
                "--target-modules",
                "attention,experts,router",
                "--max-steps",
                "3",
                "--learning-rate",
                "1e-3"));
        args.addAll(List.of(more));
        CommandRun.of(args.toArray()).result();
        return Files.readAllBytes(output.resolve("adapter_model.safetensors"));
    }

    @Test
    void itCanBeDividedAndKeepsTheOtherFiles() throws IOException {
        Path whole = temporary.resolve("whole");
        Path divided = temporary.resolve("divided");
        quantize(CommandRun.EXAMPLE, whole).result();
        JsonNode result = quantize(CommandRun.EXAMPLE, divided, "--max-shard-size", "100kB", "--json")
                .json();

        Set<String> files = files(divided);
        long shards =
                files.stream().filter(file -> file.endsWith(".safetensors")).count();
        assertThat(shards).isBetween(5L, 30L);
        Set<String> others = files.stream()
                .filter(file -> !file.contains(".safetensors"))
                .collect(Collectors.toCollection(TreeSet::new));
        assertThat(others)
                .isEqualTo(new TreeSet<>(files(CommandRun.EXAMPLE).stream()
                        .filter(file -> !file.endsWith(".safetensors"))
                        .toList()));
        for (String file : others) {
            if (!file.equals("config.json")) {
                assertThat(divided.resolve(file)).hasSameBinaryContentAs(CommandRun.EXAMPLE.resolve(file));
            }
        }
        JsonNode index = Console.JSON.readTree(Files.readString(divided.resolve("model.safetensors.index.json")));
        assertThat(index.get("weight_map").size()).isEqualTo(tensors(whole).size());
        assertThat(index.at("/metadata/total_size").longValue())
                .isEqualTo(result.get("bytes_after").longValue());
        Path data = Path.of("..", "examples", "data", "alice-eval.txt");
        double loss = loss(divided, data, "--max-length", "64");
        assertThat(loss).isEqualTo(loss(whole, data, "--max-length", "64"));
        assertThat(loss)
                .isEqualTo(loss(CommandRun.EXAMPLE, data, "--max-length", "64", "--load-in-4bit"))
                .isCloseTo(loss(CommandRun.EXAMPLE, data, "--max-length", "64"), within(0.05))
                .isNotEqualTo(loss(CommandRun.EXAMPLE, data, "--max-length", "64"));
    }

    private static Set<String> files(Path folder) throws IOException {
        try (Stream<Path> children = Files.list(folder)) {
            return children.map(file -> file.getFileName().toString()).collect(Collectors.toCollection(TreeSet::new));
        }
    }

    @Test
    void routersEmbeddingsAndHeadStay() throws IOException {
        Path output = temporary.resolve("nf4");
        Path model = CommandRun.reference("qwen3moe-everything-nf4").resolve("model");
        quantize(model, output).result();

        Map<String, Tensor> before = tensors(model);
        Map<String, Tensor> after = tensors(output);
        for (String kept : List.of(
                "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", "model.layers.0.mlp.gate.weight")) {
            assertThat(bytes(after.get(kept))).as(kept).isEqualTo(bytes(before.get(kept)));
            assertThat(after).doesNotContainKey(kept + ".absmax");
        }
        assertThat(after).containsKey("model.layers.1.mlp.experts.3.down_proj.weight.absmax");
        assertThat(quantizationConfig(output).get("llm_int8_skip_modules").toString())
                .isEqualTo("[\"lm_head\",\"mlp.gate\"]");
    }

    /** What transformers 5 leaves of a mixture of experts: attention in 4 bits, experts not. */
    @Test
    void expertsThatWereLeftInSixteenBitsAreAddedWhenAskedFor() throws IOException {
        Path reference = CommandRun.reference("qwen3moe-everything-nf4");
        Path partly = temporary.resolve("partly");
        Path whole = temporary.resolve("whole");
        Path completed = temporary.resolve("completed");
        Path data = reference.resolve("data.jsonl");
        quantize(reference.resolve("model"), partly, "--bnb-4bit-skip-modules", ".*experts")
                .result();
        quantize(reference.resolve("model"), whole).result();
        quantize(partly, completed).result();

        assertThat(tensors(partly)).doesNotContainKey("model.layers.1.mlp.experts.3.down_proj.weight.absmax");
        assertThat(completed.resolve("model.safetensors")).hasSameBinaryContentAs(whole.resolve("model.safetensors"));
        assertThat(loss(partly, data, "--load-in-4bit"))
                .isEqualTo(loss(whole, data))
                .isNotEqualTo(loss(partly, data));
    }

    @Test
    void generatingFromItIsGeneratingWithLoadIn4bit() {
        Path output = temporary.resolve("nf4");
        quantize(CommandRun.EXAMPLE, output, "--bnb-4bit-quant-type", "fp4", "--bnb-4bit-use-double-quant")
                .result();

        String text = generate(output);
        assertThat(text)
                .isEqualTo(generate(
                        CommandRun.EXAMPLE,
                        "--load-in-4bit",
                        "--bnb-4bit-quant-type",
                        "fp4",
                        "--bnb-4bit-use-double-quant"));
        assertThat(text.length()).isGreaterThan(40);
    }

    private String generate(Path model, Object... more) {
        List<Object> args = new ArrayList<>(List.of(
                "generate", "--model", model, "--prompt", "Alice was", "--temperature", "0", "--max-new-tokens", "40"));
        args.addAll(List.of(more));
        return CommandRun.of(args.toArray()).result();
    }

    @Test
    void roomIsCheckedBeforeQuantising() {
        CommandRun run = CommandRun.of(
                "eval",
                "--model",
                CommandRun.MOE_MODEL,
                "--data",
                CommandRun.MOE_DATA,
                "--load-in-4bit",
                "--max-memory",
                "100kB");
        assertThat(run.error(3)).contains("weights", "max_memory");
    }

    @Test
    void theComputeTypeIsAcceptedAndAnswered() {
        CommandRun run = CommandRun.of(
                "eval",
                "--model",
                CommandRun.MOE_MODEL,
                "--data",
                CommandRun.MOE_DATA,
                "--load-in-4bit",
                "--bnb-4bit-compute-dtype",
                "bfloat16");
        run.result();
        assertThat(run.err()).containsOnlyOnce("arithmetic here is float32");
    }

    @Test
    void settingsThatNeedLoadIn4bitAreNamedWithoutIt() {
        List<Object> eval = List.of(
                "eval", "--model", CommandRun.MOE_MODEL, "--data", CommandRun.MOE_DATA, "--bnb-4bit-use-double-quant");
        CommandRun without = CommandRun.of(eval.toArray());
        without.result();
        assertThat(without.err()).containsOnlyOnce("bnb_4bit_use_double_quant has no effect: load_in_4bit is false");

        List<Object> more = new ArrayList<>(eval);
        more.add("--load-in-4bit");
        CommandRun with = CommandRun.of(more.toArray());
        with.result();
        assertThat(with.err()).doesNotContain("no effect");
    }

    @Test
    void scalesWhoseMeanOverflowsAreRefusedWithTheTensor() {
        String weight = "model.layers.1.mlp.up_proj.weight";
        FourBitFixture large = FourBitFixture.copyOf(FourBitFixture.ODD_SOURCE);
        for (int block = 0; block < 3; block++) {
            large.setFloat(weight, 64L * block, 3e38f);
        }
        Path model = large.writeTo(temporary.resolve("large"));
        assertThat(quantize(model, temporary.resolve("nested"), "--bnb-4bit-use-double-quant")
                        .error(2))
                .contains(weight, "too large for double quantisation");
        quantize(model, temporary.resolve("plain")).result();
    }

    @Test
    void theHeadCanBeAddedAndModulesLeftOut() throws IOException {
        Path output = temporary.resolve("nf4");
        quantize(
                        FourBitFixture.ODD_SOURCE,
                        output,
                        "--bnb-4bit-lm-head",
                        "--bnb-4bit-skip-modules",
                        "[v_proj, model.layers.1.mlp]")
                .result();

        Set<String> names = tensors(output).keySet();
        assertThat(names)
                .contains("lm_head.weight.absmax", "model.layers.0.mlp.up_proj.weight.absmax")
                .doesNotContain(
                        "model.layers.0.self_attn.v_proj.weight.absmax", "model.layers.1.mlp.up_proj.weight.absmax");
        assertThat(quantizationConfig(output).get("llm_int8_skip_modules").toString())
                .isEqualTo("[\"v_proj\",\"model.layers.1.mlp\"]");
    }

    /** As bitsandbytes stores them for FSDP: the bytes are the same, only the type that the file says is another. */
    @Test
    void codesCanBeStoredAsAnotherType() throws IOException {
        Path model = CommandRun.reference("qwen3moe-everything-nf4").resolve("model");
        quantize(model, temporary.resolve("bytes")).result();
        quantize(model, temporary.resolve("stored"), "--bnb-4bit-quant-storage", "bfloat16")
                .result();

        assertThat(quantizationConfig(temporary.resolve("stored"))
                        .get("bnb_4bit_quant_storage")
                        .stringValue())
                .isEqualTo("bfloat16");
        Map<String, Tensor> stored = tensors(temporary.resolve("stored"));
        String down = "model.layers.1.mlp.experts.2.down_proj.weight";
        assertThat(stored.get(down).type()).isEqualTo(ElementType.BF16);
        tensors(temporary.resolve("bytes")).forEach((name, tensor) -> {
            assertThat(bytes(stored.get(name))).as(name).isEqualTo(bytes(tensor));
            long elements = tensor.shape().stream().reduce(1L, Math::multiplyExact);
            assertThat(stored.get(name).shape().getFirst())
                    .isEqualTo(
                            stored.get(name).type() == tensor.type()
                                    ? tensor.shape().getFirst()
                                    : elements / 2);
        });
        Path data = CommandRun.reference("qwen3moe-everything-nf4").resolve("data.jsonl");
        assertThat(loss(temporary.resolve("stored"), data)).isEqualTo(loss(temporary.resolve("bytes"), data));

        assertThat(quantize(FourBitFixture.ODD_SOURCE, temporary.resolve("odd"), "--bnb-4bit-quant-storage", "float32")
                        .error(2))
                .contains("bnb_4bit_quant_storage is float32, but the ", "bytes of 4-bit codes of model.layers.");
        assertThat(files(temporary)).doesNotContain("odd", ".odd.partial");
    }

    @Test
    void nothingIsReplacedAndNothingHalfIsLeft() throws IOException {
        Path output = Files.createDirectory(temporary.resolve("there"));
        Files.writeString(output.resolve("mine.txt"), "mine");
        assertThat(quantize(FourBitFixture.ODD_SOURCE, output).error(2)).contains("'" + output + "' exists already");
        assertThat(files(output)).containsExactly("mine.txt");
        Path empty = Files.createDirectory(temporary.resolve("empty"));
        quantize(FourBitFixture.ODD_SOURCE, empty).result();
        assertThat(files(empty)).contains("model.safetensors");

        Path broken = FourBitFixture.copyOf(FourBitFixture.ODD_SOURCE)
                .setFloat("model.layers.1.mlp.up_proj.weight", 5, Float.NaN)
                .writeTo(temporary.resolve("broken"));
        assertThat(quantize(broken, temporary.resolve("new")).error(2))
                .contains("model.layers.1.mlp.up_proj.weight", "NaN at [0, 5]");
        assertThat(files(temporary)).containsExactlyInAnyOrder("there", "broken", "empty");
    }

    @Test
    void whatCannotBeDoneIsSaid() {
        assertThat(quantize(FourBitFixture.ODD, temporary.resolve("a")).error(2))
                .contains("no weights left to quantise");
        assertThat(quantize(FourBitFixture.ODD_SOURCE, temporary.resolve("a"), "--bnb-4bit-blocksize", "48")
                        .error(2))
                .contains("power of two from 32 to 4096");
        assertThat(quantize(FourBitFixture.ODD_SOURCE, temporary.resolve("a"), "--bnb-4bit-skip-modules", "q_prj")
                        .error(2))
                .contains("'q_prj'", "matches no module");
        assertThat(quantize(FourBitFixture.ODD_SOURCE, temporary.resolve("a"), "--bnb-4bit-skip-modules", "(")
                        .error(2))
                .contains("'('", "no regular expression");
        assertThat(quantize(
                                CommandRun.MOE_MODEL,
                                temporary.resolve("a"),
                                "--bnb-4bit-skip-modules",
                                "model.layers.0.mlp.experts.1.up_proj")
                        .error(2))
                .contains("experts.1.up_proj is not in 4 bits", "quantised alike");
        assertThat(quantize(
                                CommandRun.reference("qwen3-tied-regex").resolve("model"),
                                temporary.resolve("a"),
                                "--bnb-4bit-lm-head")
                        .error(2))
                .contains("bnb_4bit_lm_head");
        assertThat(CommandRun.of("quantize", "--model", FourBitFixture.ODD).error(2))
                .contains("output_dir is missing");
        assertThat(temporary).isEmptyDirectory();
    }
}
