package dev.loranative.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import dev.loranative.model.ModelFiles;
import dev.loranative.model.WeightLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ModelShapeTest {

    @TempDir
    Path folder;

    /** As transformers counts them. */
    @ParameterizedTest
    @CsvSource({
        "moe-small, 11815680, 4734976",
        "moe-medium, 325990144, 61734912",
        "llama-small, 23173632, 21069824",
        "llama-medium, 151540736, 134742016"
    })
    void parameters(String name, long all, long active) {
        ModelShape shape = ModelShape.named(name);

        assertThat(WeightLayout.of(shape.config()).parameters()).isEqualTo(all);
        assertThat(shape.activeParameters()).isEqualTo(active);
        assertThat(shape.stepFlops(10)).isEqualTo(40.0 * active);
    }

    @Test
    void writesAModelThatCanBeOpened() throws Exception {
        ModelShape shape = ModelShape.named("moe-small");

        assertThat(shape.write(folder)).isEqualTo(11_815_680);

        try (ModelFiles files = ModelFiles.open(folder)) {
            assertThat(files.config().moe().orElseThrow().topK()).isEqualTo(4);
        }
        byte[] first = Files.readAllBytes(folder.resolve("model.safetensors"));
        shape.write(folder);
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors"))).isEqualTo(first);
    }

    /** As they are known. */
    @ParameterizedTest
    @CsvSource({
        "Qwen3-30B-A3B, 30532122624, 3041656832",
        "qwen3-30b-a3b, 30532122624, 3041656832",
        "Llama-2-7b, 6738415616, 6607077376",
        "moe-small, 11815680, 4734976"
    })
    void configurations(String name, long all, long active) {
        ModelShape shape = ModelShape.configuration(name);

        assertThat(WeightLayout.of(shape.config()).parameters()).isEqualTo(all);
        assertThat(shape.activeParameters()).isEqualTo(active);
    }

    @Test
    void aConfigurationOfAFile() throws Exception {
        Files.writeString(
                folder.resolve("config.json"), ModelShape.named("llama-small").configJson());

        for (Path path : new Path[] {folder, folder.resolve("config.json")}) {
            assertThat(ModelShape.configuration(path.toString()).config())
                    .isEqualTo(ModelShape.named("llama-small").config());
        }
    }

    @Test
    void namesTheNearestShape() {
        assertThatThrownBy(() -> ModelShape.named("llama-smal"))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("llama-smal")
                .satisfies(e -> assertThat(((UserException) e).hint()).contains("llama-small"));
    }
}
