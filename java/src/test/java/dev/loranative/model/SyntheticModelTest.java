package dev.loranative.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.config.QuantizationOptions;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SyntheticModelTest {

    /** Wide enough that a weight is more than a few blocks, with a shared expert, biases and dense layers. */
    private static final String CONFIG = """
            {"model_type": "qwen2_moe", "vocab_size": 300, "hidden_size": 96, "intermediate_size": 160,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "num_experts": 4,
             "num_experts_per_tok": 2, "moe_intermediate_size": 48, "shared_expert_intermediate_size": 80,
             "mlp_only_layers": [1], "max_position_embeddings": 128, "tie_word_embeddings": false}
            """;

    private static ModelConfig config() {
        return ModelConfigReader.parse(CONFIG, "config.json");
    }

    private static float[] floats(Ops ops, Tensor weight) {
        Tensor target = Tensor.allocate(ops.device(), DType.F32, weight.size());
        if (weight.dtype().isQuantized()) {
            ops.quantization().dequantize(weight, 0, target);
        } else {
            ops.elementwise().cast(weight, target);
        }
        return target.toFloats(ops.device());
    }

    @ParameterizedTest
    @CsvSource({"nf4, false, 64", "nf4, true, 64", "fp4, false, 128"})
    void weightsAreAsAModelBeginsInFourBits(String type, boolean nested, int block) {
        QuantizationOptions options = QuantizedModelTest.options(
                "--load-in-4bit",
                "--bnb-4bit-quant-type",
                type,
                "--bnb-4bit-use-double-quant",
                "" + nested,
                "--bnb-4bit-blocksize",
                "" + block);
        try (SyntheticModel source = SyntheticModel.of(config(), options);
                Device device = CpuDevice.open(1)) {
            List<Integer> heard = new ArrayList<>();
            Ops ops = new Ops(device);
            LoadedModel model = source.load(ops, (done, total) -> heard.add(total - done));

            long linear = source.tree().modules().stream()
                    .filter(module ->
                            !List.of(Kind.ROUTER, Kind.EMBEDDING, Kind.HEAD).contains(module.kind()))
                    .count();
            assertThat(heard).hasSize((int) linear).endsWith(0);
            assertThat(source.fourBits().orElseThrow().weights()).isEqualTo((int) linear);
            for (LinearModule module : source.tree().modules()) {
                Tensor weight = model.weight(module).weight();
                boolean plain = List.of(Kind.ROUTER, Kind.EMBEDDING, Kind.HEAD).contains(module.kind());
                assertThat(weight.dtype().name())
                        .as(module.name())
                        .isEqualTo(plain ? "BF16" : type.toUpperCase(java.util.Locale.ROOT));
                assertThat(weight.hasShape(module.out(), module.in())).isTrue();
                // Of n numbers, the mean errs by 0.02 / sqrt(n), the deviation by 0.02 / sqrt(2 n).
                float[] values = floats(ops, weight);
                double error = 0.02 / Math.sqrt(values.length);
                assertThat(mean(values)).as("mean of %s", module.name()).isCloseTo(0, within(5 * error));
                assertThat(deviation(values))
                        .as("deviation of %s", module.name())
                        .isCloseTo(0.02, within(0.001 + 5 * error));
            }
            assertThat(floats(
                            ops,
                            model.norm("model.layers.1.input_layernorm")
                                    .orElseThrow()
                                    .weight()))
                    .hasSize(96)
                    .containsOnly(1f);
        }
    }

    @Test
    void noTwoWeightsAreTheSameAndEveryRunHasTheSame() {
        try (Device device = CpuDevice.open(1)) {
            Ops ops = new Ops(device);
            LoadedModel first = load(ops);
            LoadedModel second = load(ops);
            List<LinearModule> experts = first.tree().modules().stream()
                    .filter(module -> module.kind() == Kind.EXPERT)
                    .toList();
            for (int i = 0; i < experts.size(); i++) {
                float[] values = floats(ops, first.weight(experts.get(i)).weight());
                assertThat(floats(ops, second.weight(experts.get(i)).weight())).isEqualTo(values);
                for (int j = 0; j < i; j++) {
                    assertThat(floats(ops, first.weight(experts.get(j)).weight()))
                            .isNotEqualTo(values);
                }
            }
        }
    }

    private static LoadedModel load(Ops ops) {
        return SyntheticModel.of(config(), QuantizedModelTest.options("--load-in-4bit"))
                .load(ops, LoadListener.NONE);
    }

    /** What is planned is what is taken, but for tables of addresses and the codes of nested scales. */
    @ParameterizedTest
    @CsvSource({"true, false", "true, true", "false, false"})
    void bytesOfTheWeightsAreKnownBefore(boolean fourBits, boolean nested) {
        QuantizationOptions options =
                QuantizedModelTest.options("--load-in-4bit", "" + fourBits, "--bnb-4bit-use-double-quant", "" + nested);
        try (SyntheticModel source = SyntheticModel.of(config(), options);
                Device device = CpuDevice.open(1)) {
            long before = device.allocatedBytes();
            source.load(new Ops(device), LoadListener.NONE);

            long tables = 3 * 4 * Long.BYTES + 2 * 1024 + 64;
            assertThat(device.allocatedBytes() - before - source.weightBytes()).isBetween(0L, tables);
            assertThat(source.fourBits().isPresent()).isEqualTo(fourBits);
            assertThat(source.quantizes()).isEqualTo(fourBits);
        }
    }

    private static double mean(float[] values) {
        double sum = 0;
        for (float value : values) {
            sum += value;
        }
        return sum / values.length;
    }

    private static double deviation(float[] values) {
        double mean = mean(values);
        double sum = 0;
        for (float value : values) {
            sum += (value - mean) * (value - mean);
        }
        return Math.sqrt(sum / values.length);
    }
}
