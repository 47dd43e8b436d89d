package dev.loranative.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class AtomicFilesTest {

    @TempDir
    Path folder;

    @Test
    void writesAndReplaces() throws IOException {
        Path path = folder.resolve("new/deep/a.txt");
        AtomicFiles.writeString(path, "one, and longer");
        AtomicFiles.writeString(path, "zwölf");
        assertThat(path).hasContent("zwölf");
        assertThat(Files.list(path.getParent())).containsExactly(path);
    }

    @Test
    void aFailureLeavesWhatWasThere() throws IOException {
        Path path = folder.resolve("a.txt");
        AtomicFiles.writeString(path, "old");
        assertThatThrownBy(() -> AtomicFiles.write(path, channel -> {
                    channel.write(ByteBuffer.wrap(new byte[] {'n', 'e'}));
                    throw new IOException("No space left on device");
                }))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e.getMessage()).contains(path.toString(), "No space left on device");
                    assertThat(e.exitCode()).isEqualTo(UserException.FAILED);
                });
        assertThat(path).hasContent("old");
        assertThat(Files.list(folder)).containsExactly(path);
    }

    @Test
    void whatAKilledProcessLeftIsOverwritten() throws IOException {
        Files.writeString(folder.resolve(".a.txt.partial"), "half of something longer");
        AtomicFiles.writeString(folder.resolve("a.txt"), "whole");
        assertThat(folder.resolve("a.txt")).hasContent("whole");
        assertThat(Files.list(folder)).hasSize(1);
    }

    @Test
    void aFolderAppearsOnlyWhenPublished() throws IOException {
        Path destination = folder.resolve("checkpoint-1");
        Path leftOver = Files.createDirectories(folder.resolve(".checkpoint-1.partial/sub"));
        Files.writeString(leftOver.resolve("half"), "half");

        String result = AtomicFiles.writeDirectory(destination, staging -> {
            assertThat(staging).isEmptyDirectory();
            AtomicFiles.writeString(staging.resolve("sub/a.txt"), "new");
            assertThat(destination).doesNotExist();
            return "done";
        });
        assertThat(result).isEqualTo("done");
        assertThat(destination.resolve("sub/a.txt")).hasContent("new");
        assertThat(Files.list(folder)).containsExactly(destination);
    }

    @Test
    void aPublishedFolderReplacesTheOldOneAsAWhole() throws IOException {
        Path destination = Files.createDirectory(folder.resolve("checkpoint-1"));
        Files.writeString(destination.resolve("old"), "old");
        AtomicFiles.writeDirectory(destination, staging -> {
            AtomicFiles.writeString(staging.resolve("new"), "new");
            return null;
        });
        assertThat(Files.list(destination)).containsExactly(destination.resolve("new"));
        assertThat(Files.list(folder)).containsExactly(destination);
    }

    @Test
    void whatFailsLeavesNothingAndKeepsTheOldFolder() throws IOException {
        Path destination = Files.createDirectory(folder.resolve("checkpoint-1"));
        Files.writeString(destination.resolve("old"), "old");
        assertThatThrownBy(() -> AtomicFiles.writeDirectory(destination, staging -> {
                    AtomicFiles.writeString(staging.resolve("half"), "h");
                    throw UserException.failed("no", "way");
                }))
                .isInstanceOf(UserException.class)
                .hasMessage("no");
        assertThat(destination.resolve("old")).hasContent("old");
        assertThat(Files.list(folder)).containsExactly(destination);
    }

    @Test
    void onlyAPlaceWhereNothingIsLostIsFree() throws IOException {
        Path empty = Files.createDirectory(folder.resolve("empty"));
        Path file = Files.writeString(folder.resolve("file"), "");
        Path full = Files.createDirectories(folder.resolve("full/sub")).getParent();
        Path link = Files.createSymbolicLink(folder.resolve("link"), folder.resolve("nowhere"));
        AtomicFiles.requireFree(folder.resolve("absent"));
        AtomicFiles.requireFree(empty);
        for (Path taken : new Path[] {file, full, link}) {
            assertThatThrownBy(() -> AtomicFiles.requireFree(taken)).isInstanceOfSatisfying(UserException.class, e -> {
                assertThat(e.getMessage()).isEqualTo("output '" + taken + "' exists already: nothing is overwritten");
                assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
            });
        }
    }

    /** What {@link #aProcessThatIsAskedToEndTakesItsFoldersAlong} runs: it never stops by itself, and never fails. */
    static final class Writing {
        public static void main(String[] args) {
            AtomicFiles.writeDirectory(Path.of(args[0]), staging -> {
                for (int i = 0; ; i++) {
                    AtomicFiles.writeString(staging.resolve(i % 50 + "/file-" + i % 500), "half");
                }
            });
        }
    }

    /** By SIGTERM, to which the JVM does what it does to Ctrl-C; that one a shell in the background ignores. */
    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aProcessThatIsAskedToEndTakesItsFoldersAlong() throws Exception {
        Path log = folder.resolve("log");
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        Writing.class.getName(),
                        folder.resolve("output").toString())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        try {
            Path late = folder.resolve(".output.partial/20/file-420");
            long deadline = System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
            while (!Files.exists(late)) {
                assertThat(process.isAlive() && System.nanoTime() < deadline)
                        .as(() -> "waiting for " + late)
                        .isTrue();
                Thread.sleep(5);
            }
            process.destroy();

            assertThat(process.waitFor(1, TimeUnit.MINUTES)).isTrue();
            assertThat(process.exitValue()).isEqualTo(143);
            assertThat(log).isEmptyFile();
            assertThat(Files.list(folder)).containsExactly(log);
        } finally {
            process.destroyForcibly().waitFor();
        }
    }

    @Test
    void deletesFoldersWithWhatIsInThem() throws IOException {
        Path directory = Files.createDirectories(folder.resolve("checkpoint-1/sub"));
        Files.writeString(directory.resolve("a"), "a");
        AtomicFiles.deleteDirectory(folder.resolve("checkpoint-1"));
        AtomicFiles.deleteDirectory(folder.resolve("checkpoint-1"));
        assertThat(folder).isEmptyDirectory();
    }
}
