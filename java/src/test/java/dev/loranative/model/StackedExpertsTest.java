package dev.loranative.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.checkpoint.SafetensorsWriter.Tensor;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Pass;
import dev.loranative.quant.FourBitFixture;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Models whose experts share tensors: written by transformers and bitsandbytes ({@code tools/parity/check_stacked.py}). */
class StackedExpertsTest {

    /** Experts of 32 x 24: an edge every 12 blocks. */
    private static final String PLAIN = "qwen3moe_stack_nf4_dq";

    /** 24 x 20 = 7.5 blocks of 64. */
    private static final String HALVES = "qwen3moe_stack_halves_nf4_dq";

    /** 33 x 15: edges inside a byte. */
    private static final String ODD = "qwen3moe_stack_odd_nf4_dq";

    private static final String GATE_UP = "model.layers.1.mlp.experts.gate_up_proj";

    @TempDir
    Path temporary;

    @ParameterizedTest
    @ValueSource(
            strings = {PLAIN, HALVES, ODD, "mixtral_stack_fp4_dq_128", "mixtral_stack_bf16", "qwen2moe_projs_nf4_dq"})
    void logitsAreThoseOfTheSameWeightsInTransformers(String name) {
        Map<String, Tensor> golden = golden(name);
        int[] ids = Arrays.stream(golden.get("input_ids").data().toArray(ValueLayout.JAVA_LONG_UNALIGNED))
                .mapToInt(Math::toIntExact)
                .toArray();
        float[] expected = floats(golden.get("logits_fp32_dequantized"));
        int length = ids.length / 2;
        int vocabulary = expected.length / ids.length;
        float largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        try (Device device = CpuDevice.open(1);
                LoadedModel model = ModelFiles.open(FourBitFixture.model(name)).load(device)) {
            for (int sequence = 0; sequence < 2; sequence++) {
                float[] logits = logits(model, Arrays.copyOfRange(ids, sequence * length, (sequence + 1) * length));
                int row = (sequence + 1) * length - 1;
                for (int word = 0; word < vocabulary; word++) {
                    assertThat((double) logits[word])
                            .as("logit %d", word)
                            .isCloseTo(expected[row * vocabulary + word], within(2e-6 * largest));
                }
            }
        }
    }

    private static float[] logits(LoadedModel model, int[] ids) {
        Ops ops = new Ops(model.device());
        model.lm().reservePositions(model.device(), ids.length);
        Slab slab = Slab.allocate(model.device(), 8 << 20);
        PackedTokens tokens = PackedTokens.upload(
                ops, slab, ids, IntStream.range(0, ids.length).toArray(), new int[] {0, ids.length});
        return model.lm().nextTokenLogits(Pass.evaluation(ops, slab, tokens)).toFloats(model.device());
    }

    private static Map<String, Tensor> golden(String name) {
        return FourBitFixture.tensors(FourBitFixture.model(name).resolve("golden_logits.safetensors"));
    }

    private static float[] floats(Tensor tensor) {
        return tensor.data().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
    }

    /** Wherever an expert begins: inside a group of scales, a block, a byte. */
    @ParameterizedTest
    @CsvSource({
        PLAIN + ", NF4",
        HALVES + ", NF4",
        ODD + ", F32",
        "mixtral_stack_fp4_dq_128, FP4",
        "mixtral_stack_bf16, BF16",
        "qwen2moe_projs_nf4_dq, NF4"
    })
    void everyExpertHasBitForBitTheValuesOfItsPlace(String name, DType held) {
        float[] gateUp = floats(golden(name).get("gate_up_proj"));
        float[] down = floats(golden(name).get("down_proj"));
        try (Device device = CpuDevice.open(1);
                ModelFiles files = ModelFiles.open(FourBitFixture.model(name))) {
            LoadedModel model = files.load(device);
            Ops ops = new Ops(device);
            List<LinearModule> experts = model.tree().modules().stream()
                    .filter(module -> module.kind() == LinearModule.Kind.EXPERT && module.layer() == 1)
                    .toList();
            int size = Math.toIntExact(
                    experts.getFirst().out() * experts.getFirst().in());
            assertThat(3 * size * experts.size() / 3).isEqualTo(gateUp.length + down.length);
            // In the order of computation: gate, up, down of every expert.
            for (int i = 0; i < experts.size(); i++) {
                WeightRows rows = model.weight(experts.get(i));
                int expert = i / 3;
                float[] expected = i % 3 == 2
                        ? Arrays.copyOfRange(down, expert * size, (expert + 1) * size)
                        : Arrays.copyOfRange(gateUp, (2 * expert + i % 3) * size, (2 * expert + i % 3 + 1) * size);
                assertThat(rows.weight().dtype()).isEqualTo(held);
                assertThat(rows.read(ops, 0, Math.toIntExact(rows.out())))
                        .as(experts.get(i).name())
                        .containsExactly(expected);
            }
        }
    }

    /** What is copied because it cannot be used as it lies is planned. */
    @ParameterizedTest
    @ValueSource(strings = {PLAIN, HALVES, ODD, "mixtral_stack_fp4_dq_128", "mixtral_stack_bf16"})
    void memoryIsThatOfTheFileAndOfWhatIsCopied(String name) {
        try (Device device = CpuDevice.open(1);
                ModelFiles files = ModelFiles.open(FourBitFixture.model(name))) {
            files.load(device);
            long taken = device.allocatedBytes();
            long copied = files.weightBytes() - files.fileBytes();
            long experts = files.tree().modules().stream()
                    .filter(module -> module.kind() == LinearModule.Kind.EXPERT)
                    .count();
            // Besides: descriptors, tables of addresses, the table of double quantisation, tables of rotary positions.
            assertThat(taken - copied).isBetween(0L, 200 * experts + 6000);
            assertThat(copied).isBetween(0L, name.equals(ODD) ? 4 * 33 * 15 * experts : files.fileBytes() / 10);
        }
    }

    @Test
    void whatIsHeldInFloat32IsSaid() {
        try (ModelFiles odd = ModelFiles.open(FourBitFixture.model(ODD));
                ModelFiles plain = ModelFiles.open(FourBitFixture.model(PLAIN))) {
            assertThat(odd.notes())
                    .singleElement()
                    .asString()
                    .contains("30 experts' weights, such as model.layers.", "are held in float32");
            assertThat(odd.fourBits()).isEmpty();
            assertThat(plain.notes()).isEmpty();
            assertThat(plain.fourBits()).hasValueSatisfying(bits -> {
                assertThat(bits.weights()).isEqualTo(36);
                assertThat(bits.bitsPerWeight()).isBetween(4.12, 4.3);
            });
        }
    }

    @Test
    void aMissingPartIsNamed() {
        refused(plain().without(GATE_UP + ".absmax"), "lacks " + GATE_UP + ".absmax");
        refused(plain().without(GATE_UP + ".nested_absmax"), "there is no " + GATE_UP + ".nested_absmax");
        refused(plain().without(GATE_UP + ".quant_state.bitsandbytes__nf4"), "but lacks " + GATE_UP + ".quant_state");
        refused(plain().without(GATE_UP), "but lacks " + GATE_UP);
    }

    @Test
    void shapesMustBeThoseOfTheConfiguration() {
        String state = GATE_UP + ".quant_state.bitsandbytes__nf4";
        refused(
                plain().replaceText(state, "[6, 48, 32]", "[3, 96, 32]"),
                GATE_UP + " is [3, 96, 32] in " + state + " instead of [6, 48, 32]");
        refused(plain().replaceText(state, "[6, 48, 32]", "[6, 48, 31]"), "has 4608 bytes of 4-bit codes");
        refused(plain().replaceText(state, "[6, 48, 32]", "[288, 32]"), "is [288, 32] in " + state);
        refused(plain().replaceText(state, "[6, 48, 32]", "[6, 2, 24, 32]"), "has the shape [6,2,24,32]");
        refused(plain().cut(GATE_UP, 100), GATE_UP + " has 100 bytes of 4-bit codes");
        refused(plain().cut(GATE_UP + ".absmax", 10), GATE_UP + ".absmax has 10 elements");

        FourBitFixture half = FourBitFixture.copyOf(FourBitFixture.model("mixtral_stack_bf16"));
        Tensor stack = half.tensor(GATE_UP);
        List<Long> shape = stack.shape();
        List<Long> turned = List.of(shape.get(0), shape.get(2), shape.get(1));
        refused(
                half.with(GATE_UP, stack.type(), turned, stack.data()),
                "does not fit its config.json: " + GATE_UP + " is " + turned + " instead of " + shape);
    }

    @Test
    void anExpertThatIsThereTwiceIsRefused() {
        Tensor any = plain().tensor("model.layers.1.self_attn.q_proj.weight");
        String own = "model.layers.1.mlp.experts.2.up_proj.weight";
        refused(plain().with(own, any.type(), any.shape(), any.data()), own + " twice: by itself, and in " + GATE_UP);

        FourBitFixture half = FourBitFixture.copyOf(FourBitFixture.model("mixtral_stack_bf16"));
        String w3 = "model.layers.1.block_sparse_moe.experts.2.w3.weight";
        refused(half.with(w3, any.type(), any.shape(), any.data()), w3 + " twice");
    }

    @Test
    void aStackInAnotherTypeIsRefused() {
        FourBitFixture half = FourBitFixture.copyOf(FourBitFixture.model("mixtral_stack_bf16"));
        Tensor stack = half.tensor(GATE_UP);
        refused(
                half.with(GATE_UP, dev.loranative.checkpoint.ElementType.I16, stack.shape(), stack.data()),
                "model.layers.1.block_sparse_moe.experts.0.w1.weight is I16");
    }

    private static FourBitFixture plain() {
        return FourBitFixture.copyOf(FourBitFixture.model(PLAIN));
    }

    private int written;

    private void refused(FourBitFixture spoiled, String message) {
        Path folder = spoiled.writeTo(temporary.resolve("model-" + written++));
        assertThatThrownBy(() -> ModelFiles.open(folder).close()).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e.getMessage()).contains(message);
            assertThat(e.hint()).isNotBlank();
            assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
        });
    }
}
