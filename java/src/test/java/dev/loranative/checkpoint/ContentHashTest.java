package dev.loranative.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ContentHashTest {

    @TempDir
    private Path temporary;

    /** Both were computed by Python's hashlib from the description alone. */
    @Test
    void theHashIsTheDocumentedOne() throws Exception {
        Path model = Path.of(ContentHashTest.class
                .getResource("/reference/qwen3moe-router/model")
                .toURI());
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            assertThat(checkpoint.contentHash())
                    .hasToString("sha256:35eff772685e9937688f1e6d70766d99f09482d4680ce3295c672630ad4a838a");
            assertThat(ContentHash.of(checkpoint, false))
                    .hasToString("sha256-blocks:893bd68d572a989b931743ef32642908f854fcd7d14f8aa30e23a58ba108d235");
        }
    }

    @Test
    void itDependsOnContentsAndNotOnFiles() throws IOException {
        Path one = model("one");
        Samples.writeVectors(one.resolve("model.safetensors"), 8, "b", "a");
        Path two = model("two");
        Samples.writeVectors(two.resolve("first.safetensors"), 8, "a");
        Samples.writeVectors(two.resolve("second.safetensors"), 8, "b");
        Files.writeString(
                two.resolve("model.safetensors.index.json"),
                "{\"weight_map\":{\"a\":\"first.safetensors\",\"b\":\"second.safetensors\"}}");
        String hash = hash(one);
        assertThat(hash(two)).isEqualTo(hash);

        Samples.writeVectors(one.resolve("model.safetensors"), 9, "b", "a");
        assertThat(hash(one)).isNotEqualTo(hash);
        Files.writeString(two.resolve("config.json"), "{\"rope_theta\":2}");
        assertThat(hash(two)).isNotEqualTo(hash);
    }

    @Test
    void aFileHasItsUsualSum() throws IOException {
        Path file = Files.writeString(temporary.resolve("data.txt"), "abc");
        assertThat(ContentHash.ofFile(file))
                .isEqualTo("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    private Path model(String name) throws IOException {
        Path folder = Files.createDirectory(temporary.resolve(name));
        Files.writeString(folder.resolve("config.json"), "{}");
        return folder;
    }

    private static String hash(Path folder) {
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            return checkpoint.contentHash().toString();
        }
    }
}
