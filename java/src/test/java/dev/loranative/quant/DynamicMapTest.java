package dev.loranative.quant;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsFile;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class DynamicMapTest {

    private static final Path MODELS = Path.of("src", "test", "resources", "quant", "models");

    @Test
    void itIsTheOneThatBitsandbytesWrites() {
        String weight = "model.layers.0.mlp.down_proj.weight";
        try (SafetensorsFile file =
                SafetensorsFile.open(MODELS.resolve("llama_odd_nf4_dq_fp32").resolve("model.safetensors"))) {
            assertThat(DynamicMap.signed())
                    .containsExactly(FloatTensors.read(
                            file, file.find(weight + ".nested_quant_map").orElseThrow()));
            assertThat(QuantType.NF4.table())
                    .containsExactly(FloatTensors.read(
                            file, file.find(weight + ".quant_map").orElseThrow()));
        }
        try (SafetensorsFile file =
                SafetensorsFile.open(MODELS.resolve("qwen3_fp4_bf16").resolve("model.safetensors"))) {
            assertThat(QuantType.FP4.table())
                    .containsExactly(FloatTensors.read(
                            file, file.find(weight + ".quant_map").orElseThrow()));
        }
    }
}
