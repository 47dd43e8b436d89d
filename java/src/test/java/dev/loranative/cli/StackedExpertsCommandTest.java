package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.checkpoint.SafetensorsWriter.Tensor;
import dev.loranative.quant.FourBitFixture;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;

/** To every command a model whose experts share tensors is the same as one in which each has its own. */
class StackedExpertsCommandTest {

    private static final Path STACKED = FourBitFixture.model("mixtral_stack_bf16");
    private static final int EXPERTS = 4;
    private static final int LAYERS = 2;

    @TempDir
    Path temporary;

    private Path apart;
    private Path data;

    /** The names that Mixtral's files have; in memory transformers calls the router mlp.gate. */
    @BeforeEach
    void divide() throws IOException {
        FourBitFixture model = FourBitFixture.copyOf(STACKED);
        for (int layer = 0; layer < LAYERS; layer++) {
            String memory = "model.layers." + layer + ".mlp.";
            String file = "model.layers." + layer + ".block_sparse_moe.";
            model.rename(memory + "gate.weight", file + "gate.weight");
            Tensor gateUp = model.tensor(memory + "experts.gate_up_proj");
            Tensor down = model.tensor(memory + "experts.down_proj");
            model.without(gateUp.name()).without(down.name());
            for (int expert = 0; expert < EXPERTS; expert++) {
                String own = file + "experts." + expert + ".";
                part(model, own + "w1.weight", gateUp, 2 * expert, 2 * EXPERTS);
                part(model, own + "w3.weight", gateUp, 2 * expert + 1, 2 * EXPERTS);
                part(model, own + "w2.weight", down, expert, EXPERTS);
            }
        }
        apart = model.writeTo(temporary.resolve("apart"));
        data = Files.writeString(temporary.resolve("data.jsonl"), """
                {"input_ids": [3, 5, 7, 9, 11, 13, 15, 17, 19]}
                {"input_ids": [4, 4, 61, 20, 31, 8]}
                """);
    }

    private static void part(FourBitFixture model, String name, Tensor stack, int number, int parts) {
        List<Long> shape = stack.shape();
        long rows = shape.get(0) * shape.get(1) / parts;
        long bytes = stack.data().byteSize() / parts;
        model.with(name, stack.type(), List.of(rows, shape.get(2)), stack.data().asSlice(number * bytes, bytes));
    }

    private CommandRun run(String command, Path model, Object... more) {
        List<Object> args = new ArrayList<>(List.of(command, "--model", model));
        args.addAll(List.of(more));
        return CommandRun.of(args.toArray());
    }

    @Test
    void inspectNamesEveryExpert() {
        JsonNode seen =
                run("inspect", STACKED, "--target-modules", "w1,gate", "--json").json();
        assertThat(seen)
                .isEqualTo(run("inspect", apart, "--target-modules", "w1,gate", "--json")
                        .json());
        assertThat(seen.get("trainable").toString()).contains("model.layers.1.block_sparse_moe.experts.3.w1");
    }

    @ParameterizedTest
    @CsvSource({"false, false", "true, false", "true, true"})
    void evalComputesTheSameLoss(boolean fourBits, boolean nested) {
        Object[] flags = {
            "--data", data, "--json", "--load-in-4bit=" + fourBits, "--bnb-4bit-use-double-quant=" + nested
        };
        double loss = run("eval", STACKED, flags).json().get("loss").doubleValue();
        assertThat(loss).isEqualTo(run("eval", apart, flags).json().get("loss").doubleValue());
        assertThat(loss).isBetween(4.0, 5.0);
    }

    @Test
    void trainingAndMergingGiveTheSameBytes() throws IOException {
        Path first = train(STACKED, "first");
        Path second = train(apart, "second");
        assertThat(first.resolve("adapter_model.safetensors"))
                .hasSameBinaryContentAs(second.resolve("adapter_model.safetensors"));

        merge(STACKED, first, "merged-first");
        merge(apart, second, "merged-second");
        assertSameTensors(temporary.resolve("merged-first"), temporary.resolve("merged-second"));
    }

    private Path train(Path model, String name) {
        Path output = temporary.resolve(name);
        run(
                        "train",
                        model,
                        "--data",
                        data,
                        "--output",
                        output,
                        "--target-modules",
                        "experts,router",
                        "--max-steps",
                        "2",
                        "--learning-rate",
                        "1e-2")
                .result();
        return output;
    }

    private JsonNode merge(Path model, Path adapter, String name, Object... more) {
        List<Object> args = new ArrayList<>(
                List.of("--adapter", adapter, "--output", temporary.resolve(name), "--prompt-ids", "3,4,5", "--json"));
        args.addAll(List.of(more));
        return run("merge", model, args.toArray()).json();
    }

    /** With the names of the hub's files, whatever the input's: nothing else reads 4-bit experts that share a tensor. */
    @Test
    void quantizeWritesTheSameTensors() throws IOException {
        run("quantize", STACKED, "--output", temporary.resolve("one")).result();
        run("quantize", apart, "--output", temporary.resolve("two")).result();
        assertSameTensors(temporary.resolve("one"), temporary.resolve("two"));
    }

    private static void assertSameTensors(Path one, Path two) {
        Map<String, Tensor> first = FourBitFixture.tensors(one.resolve("model.safetensors"));
        Map<String, Tensor> second = FourBitFixture.tensors(two.resolve("model.safetensors"));
        assertThat(first.keySet()).isEqualTo(second.keySet());
        first.forEach((name, tensor) -> {
            assertThat(tensor.shape()).as(name).isEqualTo(second.get(name).shape());
            assertThat(tensor.data().mismatch(second.get(name).data())).as(name).isEqualTo(-1);
        });
    }

    /** Of 4-bit stacks too, wherever an expert begins; what no adapter touches has the values that the file says. */
    @ParameterizedTest
    @CsvSource({"qwen3moe_stack_nf4_dq", "qwen3moe_stack_halves_nf4_dq", "qwen3moe_stack_odd_nf4_dq"})
    void mergingIntoFourBitsTakesTheirValues(String name) throws IOException {
        Path model = FourBitFixture.model(name);
        Path adapter = temporary.resolve("adapter");
        run(
                        "train",
                        model,
                        "--data",
                        data,
                        "--output",
                        adapter,
                        "--target-modules",
                        "up_proj,router",
                        "--max-steps",
                        "2",
                        "--learning-rate",
                        "1e-2")
                .result();
        JsonNode logits = merge(model, adapter, "merged", "--dtype", "float32").get("logits");
        assertThat(logits.get("max_difference").doubleValue())
                .isLessThan(1e-5 * logits.get("scale").doubleValue());

        Map<String, Tensor> golden = FourBitFixture.tensors(model.resolve("golden_logits.safetensors"));
        Map<String, Tensor> merged =
                FourBitFixture.tensors(temporary.resolve("merged").resolve("model.safetensors"));
        float[] stack = golden.get("down_proj").data().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
        int experts = Math.toIntExact(golden.get("down_proj").shape().getFirst());
        int size = stack.length / experts;
        for (int expert = 0; expert < experts; expert++) {
            Tensor down = merged.get("model.layers.1.mlp.experts." + expert + ".down_proj.weight");
            assertThat(down.data().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED))
                    .containsExactly(Arrays.copyOfRange(stack, expert * size, (expert + 1) * size));
        }
        assertThat(merged.keySet()).noneMatch(tensor -> tensor.contains("gate_up_proj"));
    }
}
