package dev.loranative.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.checkpoint.SafetensorsWriter.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafetensorsWriterTest {

    @TempDir
    Path folder;

    private static Tensor tensor(String name, ElementType type, List<Long> shape, byte... data) {
        return new Tensor(name, type, shape, MemorySegment.ofArray(data));
    }

    @Test
    void whatIsWrittenIsRead() {
        Path path = folder.resolve("a.safetensors");
        long longBytes = 9L << 20;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment big = arena.allocate(longBytes);
            for (long i = 0; i < longBytes; i += 4096) {
                big.set(ValueLayout.JAVA_BYTE, i, (byte) (i >> 12));
            }
            float[] floats = {1, -2, Float.NaN};
            SafetensorsWriter.write(
                    path,
                    List.of(
                            tensor("odd \"nämé\"\n", ElementType.U8, List.of(3L), (byte) 1, (byte) 2, (byte) 3),
                            new Tensor("big", ElementType.U8, List.of(longBytes), big),
                            new Tensor("floats", ElementType.F32, List.of(3L, 1L), MemorySegment.ofArray(floats)),
                            tensor("empty", ElementType.F64, List.of(0L, 5L)),
                            tensor("scalar", ElementType.I16, List.of(), (byte) 7, (byte) 0)),
                    Map.of("format", "pt", "a", "\u00fc"));
            try (SafetensorsFile file = SafetensorsFile.open(path)) {
                assertThat(file.entries().stream().map(TensorEntry::name))
                        .containsExactly("empty", "floats", "scalar", "big", "odd \"nämé\"\n");
                assertThat(file.metadata()).containsExactlyInAnyOrderEntriesOf(Map.of("format", "pt", "a", "\u00fc"));
                assertThat(file.data("big").mismatch(big)).isEqualTo(-1);
                assertThat(file.data("floats").mismatch(MemorySegment.ofArray(floats)))
                        .isEqualTo(-1);
                assertThat(file.data("odd \"nämé\"\n").toArray(ValueLayout.JAVA_BYTE))
                        .containsExactly(1, 2, 3);
                assertThat(file.entries())
                        .allSatisfy(entry -> assertThat(
                                        entry.offset() % entry.type().bytes())
                                .as(entry.name())
                                .isZero());
            }
        }
    }

    /** The bytes that the format's own library writes for the same tensors. */
    @Test
    void writesTheBytesOfTheFormatsLibrary() throws IOException {
        Path path = folder.resolve("a.safetensors");
        SafetensorsWriter.write(
                path,
                List.of(
                        tensor("b", ElementType.U8, List.of(1L), (byte) 9),
                        tensor("a", ElementType.I32, List.of(1L), (byte) 1, (byte) 0, (byte) 0, (byte) 0)),
                Map.of("format", "pt"));
        String header = "{\"__metadata__\":{\"format\":\"pt\"},"
                + "\"a\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                + "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]}}";
        String padded = header + " ".repeat(Math.floorMod(-header.length(), 8));
        byte[] expected = ((char) padded.length() + "\0\0\0\0\0\0\0" + padded + "\1\0\0\0\11")
                .getBytes(StandardCharsets.ISO_8859_1);
        assertThat(Files.readAllBytes(path)).isEqualTo(expected);
    }

    @Test
    void theOrderOfTheArgumentsDoesNotMatter() throws IOException {
        Tensor a = tensor("a", ElementType.U8, List.of(1L), (byte) 1);
        Tensor b = tensor("b", ElementType.F16, List.of(1L), (byte) 2, (byte) 3);
        SafetensorsWriter.write(folder.resolve("ab"), List.of(a, b), Map.of("x", "1", "y", "2"));
        SafetensorsWriter.write(folder.resolve("ba"), List.of(b, a), Map.of("y", "2", "x", "1"));
        assertThat(Files.mismatch(folder.resolve("ab"), folder.resolve("ba"))).isEqualTo(-1);
    }

    @Test
    void refusesTensorsThatAreNone() {
        assertThatThrownBy(() -> tensor("a", ElementType.F32, List.of(2L), (byte) 1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("a has 1 bytes, but F32 [2] needs 8");
        assertThatThrownBy(() -> tensor("a", ElementType.U8, List.of(-1L)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> tensor("__metadata__", ElementType.U8, List.of(0L)))
                .isInstanceOf(IllegalArgumentException.class);
        Tensor a = tensor("a", ElementType.U8, List.of(0L));
        Path path = folder.resolve("twice");
        assertThatThrownBy(() -> SafetensorsWriter.write(path, List.of(a, a), Map.of()))
                .isInstanceOf(IllegalArgumentException.class);
        assertThat(path).doesNotExist();
    }
}
