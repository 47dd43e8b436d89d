package dev.loranative.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CheckpointTest {

    @TempDir
    Path parent;

    private Path folder;

    @BeforeEach
    void makeFolder() throws IOException {
        folder = Files.createDirectory(parent.resolve("model"));
    }

    private void index(String weightMap) throws IOException {
        Files.writeString(
                folder.resolve("model.safetensors.index.json"),
                ("{'metadata':{'total_size':1},'weight_map':" + weightMap + "}").replace('\'', '"'));
    }

    @Test
    void readsOneFile() {
        Samples.writeVectors(folder.resolve("model.safetensors"), 2, "x", "y");
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertThat(checkpoint.names()).containsExactly("x", "y");
            assertThat(checkpoint.totalBytes()).isEqualTo(16);
            assertThat(checkpoint.contains("z")).isFalse();
            assertThatThrownBy(() -> checkpoint.entry("z"))
                    .isInstanceOf(UserException.class)
                    .hasMessageContaining("tensor z is not in " + folder);
        }
    }

    @Test
    void readsOneFileOfAnyNameButNoAdapter() {
        Samples.writeVectors(folder.resolve("adapter_model.safetensors"), 2, "a");
        refused("holds an adapter (adapter_model.safetensors)");
        Samples.writeVectors(folder.resolve("weights.safetensors"), 2, "x");
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertThat(checkpoint.names()).containsExactly("x");
        }
        Samples.writeVectors(folder.resolve("more.safetensors"), 2, "y");
        refused("holds 2 safetensors files but no model.safetensors.index.json");
    }

    @Test
    void readsShards() throws IOException {
        Samples.writeVectors(folder.resolve("one.safetensors"), 2, "x", "y");
        Samples.writeVectors(folder.resolve("two.safetensors"), 3, "z");
        index("{'z':'two.safetensors','x':'one.safetensors','y':'one.safetensors'}");
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertThat(checkpoint.names()).containsExactly("x", "y", "z");
            assertThat(checkpoint.entry("z").file()).isEqualTo(folder.resolve("two.safetensors"));
            assertThat(checkpoint.data("z").get(ValueLayout.JAVA_FLOAT_UNALIGNED, 8))
                    .isEqualTo(2);
            assertThat(checkpoint.totalBytes()).isEqualTo(28);
        }
    }

    @Test
    void listsTensorsThatTheIndexForgot() throws IOException {
        Samples.writeVectors(folder.resolve("one.safetensors"), 2, "x", "y");
        index("{'x':'one.safetensors'}");
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertThat(checkpoint.names()).containsExactly("x", "y");
        }
    }

    @Test
    void prefersTheSingleFileAsTransformersDoes() throws IOException {
        Samples.writeVectors(folder.resolve("model.safetensors"), 2, "x");
        index("{'y':'absent.safetensors'}");
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertThat(checkpoint.names()).containsExactly("x");
        }
    }

    /** The hub's cache is a folder of links to blobs elsewhere. */
    @Test
    void followsLinks() throws IOException {
        Path blob = Samples.writeVectors(parent.resolve("blob"), 2, "x");
        Files.createSymbolicLink(folder.resolve("one.safetensors"), blob);
        index("{'x':'one.safetensors'}");
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertThat(checkpoint.names()).containsExactly("x");
        }
    }

    @Test
    void refusesMissingShards() throws IOException {
        Samples.writeVectors(folder.resolve("one.safetensors"), 2, "x");
        index("{'x':'one.safetensors','y':'two.safetensors'}");
        refused("shard " + folder.resolve("two.safetensors") + " is missing");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "../evil.safetensors",
                "sub/../../evil.safetensors",
                "..",
                "/etc/passwd",
                "..\\\\evil.safetensors",
                "C:\\\\evil.safetensors",
                "C:evil.safetensors"
            })
    void refusesShardsOutsideTheFolder(String shard) throws IOException {
        Samples.writeVectors(parent.resolve("evil.safetensors"), 2, "x");
        index("{'x':'" + shard + "'}");
        refused("outside the model's folder");
    }

    @Test
    void refusesShardNamesThatAreNone() throws IOException {
        index("{'x':''}");
        refused("tensor x has an empty file name");
        index("{'x':'a\\u0000b'}");
        refused("which is no file name");
        Files.createDirectory(folder.resolve("sub"));
        index("{'x':'sub'}");
        refused("shard " + folder.resolve("sub") + " is missing");
    }

    @Test
    void refusesTensorsThatAreNotWhereTheIndexSays() throws IOException {
        Samples.writeVectors(folder.resolve("one.safetensors"), 2, "x");
        Samples.writeVectors(folder.resolve("two.safetensors"), 2, "y");
        index("{'x':'two.safetensors','y':'two.safetensors'}");
        refused("tensor x is in two.safetensors, but it is in no shard");
        index("{'x':'two.safetensors','y':'one.safetensors'}");
        refused("tensor x is in two.safetensors, but it is in " + folder.resolve("one.safetensors"));
    }

    @Test
    void refusesTensorsInTwoShards() throws IOException {
        Samples.writeVectors(folder.resolve("one.safetensors"), 2, "x");
        Samples.writeVectors(folder.resolve("two.safetensors"), 2, "x", "y");
        index("{'x':'one.safetensors','y':'two.safetensors'}");
        refused("tensor x is both in " + folder.resolve("one.safetensors") + " and in "
                + folder.resolve("two.safetensors"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"{}", "[]", "3", "{'x':3}", "{'x':'a','x':'b'}", "{'x':'a'", "null"})
    void refusesIndexesThatAreNone(String weightMap) throws IOException {
        index(weightMap);
        refused("model.safetensors.index.json is not a valid index");
    }

    @Test
    void refusesFoldersWithoutWeights() throws IOException {
        Files.writeString(folder.resolve("pytorch_model.bin"), "");
        assertThatThrownBy(() -> Checkpoint.open(folder)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e.getMessage()).isEqualTo(folder + " holds no *.safetensors file");
            assertThat(e.hint()).contains("pytorch_model.bin");
        });
        Path absent = parent.resolve("absent");
        assertThatThrownBy(() -> Checkpoint.open(absent))
                .isInstanceOf(UserException.class)
                .hasMessage(absent + " does not exist");
        Path file = folder.resolve("pytorch_model.bin");
        assertThatThrownBy(() -> Checkpoint.open(file))
                .isInstanceOf(UserException.class)
                .hasMessage(file + " is not a folder");
    }

    private void refused(String message) {
        assertThatThrownBy(() -> Checkpoint.open(folder).close()).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e.getMessage()).contains(message).doesNotContain("\n");
            assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
        });
    }
}
