package dev.loranative.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.config.ConfigParser;
import dev.loranative.config.QuantizationKeys;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Pass;
import dev.loranative.quant.FourBitFixture;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import java.lang.foreign.MemorySegment;
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

/** Models in 4 bits: those that bitsandbytes wrote, and those that are quantised on the way. */
class QuantizedModelTest {

    /**
     * Promised are logits within 1e-4 of the largest; float32 rounding alone stays below 1e-6, so that one wrong code
     * would be seen.
     */
    private static final double LOGITS = 2e-6;

    @TempDir
    Path temporary;

    static QuantizationOptions options(String... flags) {
        return QuantizationOptions.from(new ConfigParser(QuantizationKeys.ALL).parse(List.of(flags)));
    }

    /** What bitsandbytes' own dequantised weights give in float32. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "llama_odd_nf4_dq_fp32",
                "qwen3_fp4_bf16",
                "qwen3_nf4_dq_bf16storage",
                "qwen3_nf4_dq_skip",
                "qwen3moe_nf4_dq_bf16_v4style"
            })
    void logitsAreThoseOfTheDequantisedWeights(String name) {
        Path folder = FourBitFixture.model(name);
        Map<String, SafetensorsWriter.Tensor> golden =
                FourBitFixture.tensors(folder.resolve("golden_logits.safetensors"));
        int[] ids = Arrays.stream(golden.get("input_ids").data().toArray(ValueLayout.JAVA_LONG_UNALIGNED))
                .mapToInt(Math::toIntExact)
                .toArray();
        float[] expected = floats(golden.get("logits_fp32_dequantized"));
        int vocabulary = expected.length / ids.length;
        double largest = IntStream.range(0, expected.length)
                .mapToDouble(i -> Math.abs(expected[i]))
                .max()
                .orElseThrow();

        try (Device device = CpuDevice.open(1);
                LoadedModel model = ModelFiles.open(folder).load(device)) {
            for (int sequence = 0; sequence < 2; sequence++) {
                int first = sequence * ids.length / 2;
                for (int length = 1; length <= ids.length / 2; length += 11) {
                    float[] logits = logits(model, Arrays.copyOfRange(ids, first, first + length));
                    int row = first + length - 1;
                    for (int word = 0; word < vocabulary; word++) {
                        assertThat((double) logits[word])
                                .as("logit %d after %d tokens", word, length)
                                .isCloseTo(
                                        expected[row * vocabulary + word],
                                        org.assertj.core.api.Assertions.within(LOGITS * largest));
                    }
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

    private static float[] floats(SafetensorsWriter.Tensor tensor) {
        return tensor.data().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
    }

    /** 4.5 bits a weight without double quantisation, 4.13 with, and what is planned is what is taken. */
    @ParameterizedTest
    @CsvSource({"false, 64, 4.5", "true, 64, 4.127", "false, 128, 4.25", "true, 4096, 4.002"})
    void memoryIsThatOfTheCodesAndScales(boolean doubleQuantization, int blockSize, double bits) {
        try (Device device = CpuDevice.open(1);
                ModelFiles files = wide(
                        "--load-in-4bit",
                        "--bnb-4bit-use-double-quant=" + doubleQuantization,
                        "--bnb-4bit-blocksize",
                        String.valueOf(blockSize))) {
            LoadedModel model = files.load(device);
            long taken = device.allocatedBytes();

            assertThat(8.0 * files.quantizedBytes() / files.quantizedElements())
                    .isCloseTo(bits, org.assertj.core.api.Assertions.within(0.01));
            assertThat(files.weightBytes())
                    .isEqualTo(files.fileBytes() - 2 * files.quantizedElements() + files.quantizedBytes());
            // Beside the weights, the table of double quantisation.
            assertThat(taken - files.quantizedBytes()).isBetween(0L, 1024L);
            assertThat(files.parameters()).isEqualTo(2 * 64 * 256 + 256 + 2 * 256 + files.quantizedElements());
            assertThat(model.tree().modules()).hasSize(9);
        }
    }

    /** One layer wide enough that descriptors do not count. */
    private ModelFiles wide(String... flags) {
        String config =
                "{\"model_type\": \"llama\", \"vocab_size\": 64, \"hidden_size\": 256, \"intermediate_size\": 512,"
                        + " \"num_hidden_layers\": 1, \"num_attention_heads\": 4}";
        dev.loranative.checkpoint.AtomicFiles.writeString(temporary.resolve("config.json"), config);
        List<SafetensorsWriter.Tensor> tensors =
                WeightLayout.of(ModelConfigReader.parse(config, "config.json")).shapes().entrySet().stream()
                        .map(entry -> new SafetensorsWriter.Tensor(
                                entry.getKey(), ElementType.BF16, entry.getValue(), ramp(entry.getValue())))
                        .toList();
        SafetensorsWriter.write(temporary.resolve("model.safetensors"), tensors, Map.of());
        return ModelFiles.open(temporary, options(flags));
    }

    private static MemorySegment ramp(List<Long> shape) {
        short[] values = new short[shape.stream().mapToInt(Long::intValue).reduce(1, Math::multiplyExact)];
        for (int i = 0; i < values.length; i++) {
            values[i] = (short) (Float.floatToIntBits((i % 251 - 125) / 1000f) >> 16);
        }
        return MemorySegment.ofArray(values);
    }

    @Test
    void rowsOfAWeightAreReadFromEveryType() {
        try (Device device = CpuDevice.open(1);
                LoadedModel plain = ModelFiles.open(FourBitFixture.ODD_SOURCE).load(device);
                LoadedModel stored = ModelFiles.open(FourBitFixture.ODD).load(device);
                LoadedModel made = ModelFiles.open(
                                FourBitFixture.ODD_SOURCE, options("--load-in-4bit", "--bnb-4bit-use-double-quant"))
                        .load(device)) {
            Ops ops = new Ops(device);
            LinearModule module = module(plain, "model.layers.1.mlp.down_proj");
            float[] exact = plain.weight(module).read(ops, 0, 90);
            float[] quantised = stored.weight(module).read(ops, 0, 90);

            assertThat(exact).hasSize(90 * 101);
            assertThat(stored.weight(module).weight().dtype()).isEqualTo(DType.NF4);
            assertThat(made.weight(module).weight().dtype()).isEqualTo(DType.NF4);
            assertThat(stored.weight(module).read(ops, 40, 3))
                    .containsExactly(Arrays.copyOfRange(quantised, 40 * 101, 43 * 101));
            assertThat(plain.weight(module).read(ops, 40, 3))
                    .containsExactly(Arrays.copyOfRange(exact, 40 * 101, 43 * 101));
            assertThat(rootMeanSquare(exact, quantised)).isBetween(0.02 * rms(exact), 0.12 * rms(exact));
            // bitsandbytes' CPU rounds a few scales to a neighbour of the nearest one.
            assertThat(rootMeanSquare(made.weight(module).read(ops, 0, 90), quantised))
                    .isLessThan(1e-3 * rms(exact));
            assertThat(stored.weight(module(stored, "lm_head")).weight().dtype())
                    .isEqualTo(DType.F32);
        }
    }

    private static LinearModule module(LoadedModel model, String name) {
        return model.tree().modules().stream()
                .filter(found -> found.name().equals(name))
                .findFirst()
                .orElseThrow();
    }

    private static double rms(float[] values) {
        return rootMeanSquare(values, new float[values.length]);
    }

    private static double rootMeanSquare(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += Math.pow((double) a[i] - b[i], 2);
        }
        return Math.sqrt(sum / a.length);
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void whatIsNoNumberIsRefusedByName(float value) {
        String name = "model.layers.1.mlp.gate_proj.weight";
        Path folder = FourBitFixture.copyOf(FourBitFixture.ODD_SOURCE)
                .setFloat(name, 12 * 90 + 34, value)
                .writeTo(temporary.resolve("model"));
        try (Device device = CpuDevice.open(1);
                ModelFiles files = ModelFiles.open(folder, options("--load-in-4bit"))) {
            assertThatThrownBy(() -> files.load(device)).isInstanceOfSatisfying(UserException.class, e -> {
                assertThat(e.getMessage()).contains(name, "holds " + value + " at [12, 34]");
                assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
            });
        }
    }

    @Test
    void integersAreRefusedByName() {
        String name = "model.layers.1.mlp.gate_proj.weight";
        Path folder = FourBitFixture.copyOf(FourBitFixture.ODD_SOURCE)
                .with(name, ElementType.I32, List.of(101L, 90L), MemorySegment.ofArray(new int[101 * 90]))
                .writeTo(temporary.resolve("model"));
        assertThatThrownBy(() -> ModelFiles.open(folder, options("--load-in-4bit")))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e.getMessage()).contains(name + " is I32");
                    assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
                });
    }
}
