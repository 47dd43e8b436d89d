package dev.loranative.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LibraryFileTest {

    private static final byte[] CONTENT = {1, 2, 3, 4, 5};
    private static final String SHA256 = "74f81fe167d99b4cb41d6d0ccda82278caee9f3e2f25d5e5a3936ff3dcec60d0";

    @TempDir
    private Path folder;

    @Test
    void aNamedLibraryMustExist() {
        Path missing = folder.resolve("absent.so");

        UserException e = refusal(() -> LibraryFile.named(missing.toString(), "LORA_NATIVE_LIBRARY"));

        assertThat(e).hasMessage("native library '" + missing + "' (from LORA_NATIVE_LIBRARY) does not exist");
        assertThat(e.hint()).contains("unset LORA_NATIVE_LIBRARY");
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
    }

    @Test
    void aFolderIsNoLibrary() {
        UserException e = refusal(() -> LibraryFile.named(folder.toString(), "lora.native.library"));

        assertThat(e).hasMessageContaining(folder.toString()).hasMessageContaining("lora.native.library");
    }

    @Test
    void thePropertyNamesALibrary() throws IOException {
        Path file = Files.write(folder.resolve("mine.so"), CONTENT);
        String before = System.getProperty(LibraryFile.PROPERTY);
        System.setProperty(LibraryFile.PROPERTY, file.toString());
        try {
            assertThat(LibraryFile.find("lora_native_cpu")).isEqualTo(file);
        } finally {
            if (before == null) {
                System.clearProperty(LibraryFile.PROPERTY);
            } else {
                System.setProperty(LibraryFile.PROPERTY, before);
            }
        }
    }

    @Test
    void aLibraryThatTheJarLacksIsNamedWithThePlatform() {
        UserException e = refusal(() -> LibraryFile.insideJar("lora_native_nowhere"));

        assertThat(e)
                .hasMessageContaining(Platform.name())
                .hasMessageContaining(Platform.libraryFile("lora_native_nowhere"));
        assertThat(e.hint()).contains("LORA_NATIVE_LIBRARY");
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
    }

    @Test
    void extractsIntoAFolderNamedByTheHash() throws IOException {
        Path file = LibraryFile.extract(CONTENT, "libx.so", folder.resolve("new/cache"));

        assertThat(file).isEqualTo(folder.resolve("new/cache/" + SHA256 + "/libx.so"));
        assertThat(Files.readAllBytes(file)).isEqualTo(CONTENT);
        assertThat(entries(file.getParent())).containsExactly("libx.so");
    }

    @Test
    void extractsOnce() throws IOException {
        Path file = LibraryFile.extract(CONTENT, "libx.so", folder);
        FileTime longAgo = FileTime.fromMillis(1_000_000);
        Files.setLastModifiedTime(file, longAgo);

        assertThat(LibraryFile.extract(CONTENT, "libx.so", folder)).isEqualTo(file);

        assertThat(Files.getLastModifiedTime(file)).isEqualTo(longAgo);
    }

    @Test
    void replacesACorruptedFile() throws IOException {
        Path file = LibraryFile.extract(CONTENT, "libx.so", folder);
        Files.write(file, new byte[] {1, 2, 3, 4, 6});

        LibraryFile.extract(CONTENT, "libx.so", folder);

        assertThat(Files.readAllBytes(file)).isEqualTo(CONTENT);
        assertThat(entries(file.getParent())).containsExactly("libx.so");
    }

    @Test
    void twoVersionsLieSideBySide() throws IOException {
        Path one = LibraryFile.extract(CONTENT, "libx.so", folder);
        Path other = LibraryFile.extract(new byte[] {9}, "libx.so", folder);

        assertThat(one).isNotEqualTo(other);
        assertThat(Files.readAllBytes(one)).isEqualTo(CONTENT);
    }

    @Test
    void manyAtOnceAllGetTheWholeFile() throws Exception {
        byte[] content = new byte[1 << 20];
        content[7] = 7;
        try (ExecutorService threads = Executors.newFixedThreadPool(8)) {
            Callable<byte[]> extraction = () -> Files.readAllBytes(LibraryFile.extract(content, "libx.so", folder));
            for (Future<byte[]> result : threads.invokeAll(java.util.Collections.nCopies(16, extraction))) {
                assertThat(result.get()).isEqualTo(content);
            }
        }
    }

    /** A file in the place of the folder refuses even the superuser. */
    @Test
    void aCacheFolderThatCannotBeWrittenIsNamed() throws IOException {
        Path occupied = Files.write(folder.resolve("cache"), CONTENT);

        UserException e = refusal(() -> LibraryFile.extract(CONTENT, "libx.so", occupied));

        assertThat(e).hasMessageStartingWith("cannot extract the native library to '" + occupied);
        assertThat(e.getMessage().lines()).hasSize(1);
        assertThat(e.hint()).contains("writable", "LORA_NATIVE_CACHE");
        assertThat(e.exitCode()).isEqualTo(UserException.FAILED);
        assertThat(Files.readAllBytes(occupied)).isEqualTo(CONTENT);
    }

    private static UserException refusal(org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
        UserException e = catchThrowableOfType(UserException.class, call);
        assertThat(e).as("refusal").isNotNull();
        return e;
    }

    private static List<String> entries(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString()).toList();
        }
    }
}
