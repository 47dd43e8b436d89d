package dev.loranative.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SpoolTest {

    @TempDir
    Path temporary;

    @Test
    void whatIsAddedComesBackAndTheFileGoes() {
        Path path = temporary.resolve("spool");
        try (Arena arena = Arena.ofConfined();
                Spool spool = Spool.create(path)) {
            Spool.Range first = spool.append(arena.allocateFrom(ValueLayout.JAVA_BYTE, new byte[] {1, 2, 3}));
            Spool.Range none = spool.append(arena.allocate(0));
            Spool.Range second = spool.append(arena.allocateFrom(ValueLayout.JAVA_BYTE, new byte[] {4, 5}));
            MemorySegment file = spool.map();
            assertThat(first.of(file).toArray(ValueLayout.JAVA_BYTE)).containsExactly(1, 2, 3);
            assertThat(none.of(file).byteSize()).isZero();
            assertThat(second.of(file).toArray(ValueLayout.JAVA_BYTE)).containsExactly(4, 5);
            assertThat(path).exists();
        }
        assertThat(temporary).isEmptyDirectory();
    }

    @Test
    void anEmptyOneCanBeMapped() {
        try (Spool spool = Spool.create(temporary.resolve("spool"))) {
            assertThat(spool.map().byteSize()).isZero();
        }
    }

    @Test
    void aFolderThatIsNotThereIsAnError() {
        assertThatThrownBy(() -> Spool.create(temporary.resolve("no").resolve("spool")))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e.getMessage()).contains("spool");
                    assertThat(e.exitCode()).isEqualTo(UserException.FAILED);
                });
    }
}
