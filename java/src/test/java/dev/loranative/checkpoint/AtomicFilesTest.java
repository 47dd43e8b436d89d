package dev.loranative.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
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

        Path staging = AtomicFiles.stagingDirectory(destination);
        assertThat(staging).isEmptyDirectory();
        Files.createDirectory(staging.resolve("sub"));
        Files.writeString(staging.resolve("sub/a.txt"), "new");
        assertThat(destination).doesNotExist();

        AtomicFiles.publishDirectory(staging, destination);
        assertThat(destination.resolve("sub/a.txt")).hasContent("new");
        assertThat(Files.list(folder)).containsExactly(destination);
    }

    @Test
    void aPublishedFolderReplacesTheOldOneAsAWhole() throws IOException {
        Path destination = Files.createDirectory(folder.resolve("checkpoint-1"));
        Files.writeString(destination.resolve("old"), "old");
        Path staging = AtomicFiles.stagingDirectory(destination);
        Files.writeString(staging.resolve("new"), "new");
        AtomicFiles.publishDirectory(staging, destination);
        assertThat(Files.list(destination)).containsExactly(destination.resolve("new"));
        assertThat(Files.list(folder)).containsExactly(destination);
    }

    @Test
    void publishingWhatIsNotThereFailsAndKeepsTheOldFolder() throws IOException {
        Path destination = Files.createDirectory(folder.resolve("checkpoint-1"));
        assertThatThrownBy(() -> AtomicFiles.publishDirectory(folder.resolve("absent"), destination))
                .isInstanceOf(UserException.class)
                .hasMessageContaining(destination.toString());
        assertThat(destination).isDirectory();
    }

    @Test
    void aFolderThatIsNotPublishedLeavesNothing() throws IOException {
        Path staging = AtomicFiles.stagingDirectory(folder.resolve("checkpoint-1"));
        Files.writeString(staging.resolve("half"), "h");
        AtomicFiles.discard(staging);
        AtomicFiles.discard(staging);
        assertThat(folder).isEmptyDirectory();
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
