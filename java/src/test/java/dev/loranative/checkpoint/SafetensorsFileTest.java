package dev.loranative.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsFileTest {

    @TempDir
    Path folder;

    @Test
    void readsTensorsInTheOrderOfTheHeaderWhereverTheirDataLies() throws IOException {
        Path path = Samples.write(
                folder.resolve("a.safetensors"),
                "{'b':{'dtype':'U8','shape':[3],'data_offsets':[8,11]},'__metadata__':{'format':'pt'},"
                        + "'a':{'data_offsets':[0,8],'shape':[2,2],'dtype':'BF16','later':[{}]}}  ",
                11);
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            long data = Files.size(path) - 11;
            assertThat(file.entries())
                    .containsExactly(
                            new TensorEntry("b", ElementType.U8, List.of(3L), path, data + 8, 3),
                            new TensorEntry("a", ElementType.BF16, List.of(2L, 2L), path, data, 8));
            assertThat(file.metadata()).containsExactly(Map.entry("format", "pt"));
            assertThat(file.find("a"))
                    .hasValueSatisfying(a -> assertThat(a.elements()).isEqualTo(4));
            assertThat(file.find("c")).isEmpty();
            assertThat(file.data("b").byteSize()).isEqualTo(3);
            assertThat(file.data("b").isReadOnly()).isTrue();
            assertThatThrownBy(() -> file.data("c"))
                    .isInstanceOf(UserException.class)
                    .hasMessageContaining("tensor c is not in " + path);
        }
    }

    @Test
    void readsScalarsEmptyTensorsAndEmptyFiles() throws IOException {
        Path path = Samples.write(
                folder.resolve("a.safetensors"),
                "{'scalar':{'dtype':'F32','shape':[],'data_offsets':[0,4]},"
                        + "'empty':{'dtype':'F32','shape':[0,7],'data_offsets':[4,4]},"
                        + "'first':{'dtype':'F32','shape':[0],'data_offsets':[0,0]}}",
                4);
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertThat(file.find("scalar").orElseThrow().elements()).isEqualTo(1);
            assertThat(file.data("empty").byteSize()).isZero();
        }
        try (SafetensorsFile file = SafetensorsFile.open(Samples.write(folder.resolve("b.safetensors"), "{}", 0))) {
            assertThat(file.entries()).isEmpty();
            assertThat(file.metadata()).isEmpty();
        }
    }

    @Test
    void aSliceUsedAfterCloseIsAnException() {
        Path path = Samples.writeVectors(folder.resolve("a.safetensors"), 2, "x");
        SafetensorsFile file = SafetensorsFile.open(path);
        MemorySegment data = file.data("x");
        assertThat(data.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4)).isEqualTo(1);
        file.close();
        assertThatThrownBy(() -> data.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4))
                .isInstanceOf(IllegalStateException.class);
    }

    /** A sparse file: 3 GB long, hardly any blocks. */
    @Test
    void readsFilesBeyondTwoGigabytes() throws IOException {
        long bytes = 3_000_000_000L;
        byte[] header = ("{\"big\":{\"dtype\":\"U8\",\"shape\":[" + bytes + "],\"data_offsets\":[0," + bytes + "]},"
                        + "\"last\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[" + bytes + "," + (bytes + 2)
                        + "]}}")
                .getBytes(StandardCharsets.UTF_8);
        Path path = Samples.write(folder.resolve("big.safetensors"), header.length, header, 0);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
            ByteBuffer last =
                    ByteBuffer.allocate(2).order(ByteOrder.LITTLE_ENDIAN).putShort(0, (short) 4711);
            channel.write(last, Long.BYTES + header.length + bytes);
        }
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertThat(file.data("big").byteSize()).isEqualTo(bytes);
            assertThat(file.data("big").get(ValueLayout.JAVA_BYTE, bytes - 1)).isZero();
            assertThat(file.data("last").get(ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN), 0))
                    .isEqualTo((short) 4711);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "[]|0|does not begin with '{'",
                "` {}`|0|does not begin with '{'",
                "{|0|the header: ",
                "{}{}|0|the header goes on",
                "{}x|0|the header: ",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}|4|after tensor t: ",
                "{'t':3}|0|tensor t has 3 where an object",
                "{'t':{'shape':[1],'data_offsets':[0,4]}}|4|tensor t lacks dtype",
                "{'t':{'dtype':'F32','data_offsets':[0,4]}}|4|tensor t lacks shape",
                "{'t':{'dtype':'F32','shape':[1]}}|4|tensor t lacks data_offsets",
                "{'t':{'dtype':'F31','shape':[1],'data_offsets':[0,4]}}|4|tensor t has dtype 'F31'",
                "{'t':{'dtype':32,'shape':[1],'data_offsets':[0,4]}}|4|tensor t has 32 where a string under 'dtype'",
                "{'t':{'dtype':'F32','shape':1,'data_offsets':[0,4]}}|4|tensor t has 1 where an array under 'shape'",
                "{'t':{'dtype':'F32','shape':[-1],'data_offsets':[0,4]}}|4|tensor t has -1 under 'shape'",
                "{'t':{'dtype':'F32','shape':[1.0],'data_offsets':[0,4]}}|4|tensor t has 1.0 where whole numbers",
                "{'t':{'dtype':'F32','shape':['1'],'data_offsets':[0,4]}}|4|tensor t has 1 where whole numbers",
                "{'t':{'dtype':'F32','shape':[[1]],'data_offsets':[0,4]}}|4|tensor t has [ where whole numbers",
                "{'t':{'dtype':'F32','shape':[NaN],'data_offsets':[0,4]}}|4|tensor t: ",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[0,NaN]}}|4|tensor t: ",
                "{'t':{'dtype':'F32','shape':[99999999999999999999],'data_offsets':[0,4]}}|4|99999999999999999999 under 'shape', too large",
                "{'t':{'dtype':'F32','shape':[4294967296,4294967296],'data_offsets':[0,4]}}|4|overflows",
                "{'t':{'dtype':'F32','shape':[2305843009213693952],'data_offsets':[0,4]}}|4|overflows",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[4]}}|4|tensor t has data_offsets [4]",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[4,0]}}|4|tensor t has data_offsets [4, 0]",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[-4,0]}}|4|tensor t has -4 under 'data_offsets'",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[0,8]}}|8|(8 bytes), but dtype F32 and shape [1] need 4",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}}|3|outside the file's 3 bytes",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[4,8]}}|8|leaves a hole",
                "{'t':{'dtype':'U8','shape':[1],'data_offsets':[9223372036854775806,9223372036854775807]}}|8|outside the file",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[96,100]},'u':{'dtype':'F32','shape':[1],'data_offsets':[4,8]}}|8|tensor t has data_offsets [96, 100], outside the file's 8 bytes",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}}|5|1 bytes after the last tensor",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[0,4]},'u':{'dtype':'F32','shape':[1],'data_offsets':[2,6]}}|6|tensor u has data_offsets [2, 6], which overlaps",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[0,4]},'u':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}}|4|overlaps",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[0,4]},'u':{'dtype':'F32','shape':[1],'data_offsets':[5,9]}}|9|tensor u has data_offsets [5, 9], which leaves a hole",
                "{'t':{'dtype':'F32','shape':[1],'data_offsets':[0,4]},'t':{'dtype':'F32','shape':[1],'data_offsets':[4,8]}}|8|Duplicate",
                "{'t':{'dtype':'F32','dtype':'F32','shape':[1],'data_offsets':[0,4]}}|4|tensor t: Duplicate",
                "{'__metadata__':3}|0|__metadata__ has 3 where an object of strings",
                "{'__metadata__':{'a':3}}|0|__metadata__ has 3 where a string under 'a'",
                "{'__metadata__':{'a':null}}|0|where a string under 'a'",
                "{'__metadata__':{},'__metadata__':{}}|0|Duplicate",
                "{'t':{'dtype':'F32\\nX','shape':[1],'data_offsets':[0,4]}}|4|dtype 'F32?X'"
            })
    void refusesHeaders(String header, int dataBytes, String message) throws IOException {
        refused(Samples.write(folder.resolve("a.safetensors"), header, dataBytes), message);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 7})
    void refusesFilesShorterThanTheLengthField(int bytes) throws IOException {
        refused(Files.write(folder.resolve("a.safetensors"), new byte[bytes]), "it has " + bytes + " bytes");
    }

    @Test
    void refusesHeaderLengthsBeyondTheFileOrTheFormat() throws IOException {
        Path path = folder.resolve("a.safetensors");
        refused(Samples.write(path, 3, "{}".getBytes(StandardCharsets.UTF_8), 0), "header length is 3");
        refused(Samples.write(path, -1, new byte[2], 0), "header length is 18446744073709551615");
        Samples.write(path, 100_000_001, new byte[0], 0);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.allocate(1), 200_000_000);
        }
        refused(path, "header length is 100000001, above the format's limit");
        refused(Samples.write(path, 0, new byte[0], 0), "does not begin with '{'");
    }

    @Test
    void refusesHeadersThatAreNotUtf8() throws IOException {
        byte[] header = {'{', '"', (byte) 0xc3, '"', '}'};
        refused(Samples.write(folder.resolve("a.safetensors"), header.length, header, 0), "not UTF-8");
    }

    @Test
    void refusesEveryTruncation() throws IOException {
        Path whole = Samples.writeVectors(folder.resolve("whole.safetensors"), 3, "x", "y");
        byte[] bytes = Files.readAllBytes(whole);
        Path cut = folder.resolve("cut.safetensors");
        for (int length = 0; length < bytes.length; length++) {
            Files.write(cut, Arrays.copyOf(bytes, length));
            refused(cut, cut.toString());
        }
    }

    @Test
    void refusesWhatIsNoFile() {
        Path absent = folder.resolve("absent.safetensors");
        refused(absent, absent + " does not exist");
        refused(folder, folder + " is not a regular file");
    }

    private static void refused(Path path, String message) {
        assertThatThrownBy(() -> SafetensorsFile.open(path).close()).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e.getMessage())
                    .contains(path.toString())
                    .contains(message)
                    .doesNotContain("\n");
            assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
            assertThat(e.hint()).isNotBlank();
        });
    }

    @Test
    void whatWasReleasedCanBeReadAgain() {
        Path path = Samples.writeVectors(folder.resolve("a.safetensors"), 100_000, "a", "b", "c");
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            MemorySegment before = file.data("b");
            byte[] read = before.toArray(ValueLayout.JAVA_BYTE);
            file.release("a");
            file.release("b");
            file.release("c");
            assertThat(before.toArray(ValueLayout.JAVA_BYTE)).isEqualTo(read);
        }
    }
}
