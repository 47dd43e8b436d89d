package dev.loranative.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.loranative.errors.UserException;
import dev.loranative.ffi.LargePages;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CpuDeviceTest {

    private static final Pattern RANGE = Pattern.compile("([0-9a-f]+)-([0-9a-f]+) ");

    @Test
    void saysWhatItIs() {
        try (CpuDevice device = CpuDevice.open(3, SimdTier.GENERIC)) {
            assertThat(device.threads()).isEqualTo(3);
            assertThat(device.simd()).isEqualTo(SimdTier.GENERIC);
            assertThat(device.description()).isEqualTo("CPU, 3 threads, generic");
        }
        try (CpuDevice device = CpuDevice.open(1)) {
            assertThat(device.simd()).isNotEqualTo(SimdTier.AUTO);
            assertThat(device.description())
                    .isEqualTo("CPU, 1 thread, " + device.simd().name().toLowerCase(Locale.ROOT));
        }
        try (CpuDevice device = CpuDevice.open(0)) {
            assertThat(device.threads()).isPositive();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 100_000})
    void refusesAnImpossibleNumberOfThreads(int threads) {
        UserException e = catchThrowableOfType(UserException.class, () -> CpuDevice.open(threads));

        assertThat(e).hasMessageContaining("threads is " + threads);
        assertThat(e.hint()).isNotBlank();
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
    }

    @Test
    void refusesATierThatThisMachineLacks() {
        String architecture = System.getProperty("os.arch");
        SimdTier foreign = architecture.matches("aarch64|arm64") ? SimdTier.AVX2 : SimdTier.NEON;

        assertThatThrownBy(() -> CpuDevice.open(1, foreign))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("SIMD tier " + foreign.ordinal());
    }

    @Test
    void memoryIsZeroAlignedAndCounted() {
        try (CpuDevice device = CpuDevice.open(1)) {
            Buffer first = device.allocate(100);
            Buffer second = device.allocate(1);

            assertThat(device.allocatedBytes()).isEqualTo(101);
            assertThat(first.bytes()).isEqualTo(100);
            assertThat(first.address(0, 100) % 64).isZero();
            assertThat(second.address(0, 1) % 64).isZero();
            byte[] content = new byte[100];
            device.copyToHost(first, 0, MemorySegment.ofArray(content));
            assertThat(content).containsOnly(0);
            assertThat(device.memoryInUse()).isPositive();
        }
    }

    @Test
    void muchMemoryIsZeroAndUsableToItsEnds() {
        long bytes = 2 * LargePages.BYTES + 12_345;
        try (CpuDevice device = CpuDevice.open(1)) {
            Buffer buffer = device.allocate(bytes);

            assertThat(buffer.address(0, bytes) % LargePages.BYTES).isZero();
            assertThat(device.allocatedBytes()).isEqualTo(bytes);
            byte[] content = new byte[(int) bytes];
            device.copyToHost(buffer, 0, MemorySegment.ofArray(content));
            assertThat(content).containsOnly(0);
            device.copyFromHost(MemorySegment.ofArray(new byte[] {7}), buffer, 0);
            device.copyFromHost(MemorySegment.ofArray(new byte[] {9}), buffer, bytes - 1);
            device.copyToHost(buffer, 0, MemorySegment.ofArray(content));
            assertThat(content[0]).isEqualTo((byte) 7);
            assertThat(content[content.length - 1]).isEqualTo((byte) 9);
        }
    }

    @Test
    @EnabledIf("systemHasLargePages")
    void muchMemoryIsTakenAtOnceInLargePages() throws IOException {
        long bytes = 8 * LargePages.BYTES + 4096;
        try (CpuDevice device = CpuDevice.open(1)) {
            Buffer buffer = device.allocate(bytes);

            assertThat(isInLargePages(buffer.address(0, bytes))).isTrue();
            String resident = mapping(buffer.address(0, bytes)).get("Rss");
            assertThat(Long.parseLong(resident.replaceAll("\\D+", ""))).isGreaterThanOrEqualTo(bytes / 1024);
        }
    }

    @Test
    @EnabledIf("systemHasLargePages")
    void muchMemoryIsGivenBackWithItsDeviceOrLoan() {
        long bytes = 2 * LargePages.BYTES;
        long allocated;
        long borrowed;
        try (CpuDevice device = CpuDevice.open(1)) {
            allocated = device.allocate(bytes).address(0, bytes);
            try (Loan loan = device.borrow(bytes)) {
                borrowed = loan.buffer().address(0, bytes);
                assertThat(isInLargePages(borrowed)).isTrue();
            }
            assertThat(isInLargePages(borrowed)).isFalse();
            assertThat(isInLargePages(allocated)).isTrue();
        }
        assertThat(isInLargePages(allocated)).isFalse();
    }

    static boolean systemHasLargePages() {
        return Files.exists(Path.of("/sys/kernel/mm/transparent_hugepage"));
    }

    private static boolean isInLargePages(long address) {
        return mapping(address).getOrDefault("VmFlags", "").contains(" hg");
    }

    /** What the kernel says of the mapping that holds this address; nothing where there is none. */
    private static Map<String, String> mapping(long address) {
        Map<String, String> values = new HashMap<>();
        boolean inside = false;
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/smaps"))) {
                Matcher range = RANGE.matcher(line);
                if (range.lookingAt()) {
                    inside = Long.parseUnsignedLong(range.group(1), 16) <= address
                            && address < Long.parseUnsignedLong(range.group(2), 16);
                } else if (inside) {
                    values.put(line.substring(0, line.indexOf(':')), line.substring(line.indexOf(':') + 1));
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return values;
    }

    @Test
    void anImpossibleAmountOfMemoryDoesNotFit() {
        try (CpuDevice device = CpuDevice.open(1)) {
            device.allocate(100);

            UserException e = catchThrowableOfType(UserException.class, () -> device.allocate(1L << 60));

            assertThat(e).hasMessage("out of memory: " + (1L << 60) + " bytes asked for, 100 taken before");
            assertThat(e.exitCode()).isEqualTo(UserException.DOES_NOT_FIT);
            assertThat(device.allocatedBytes()).isEqualTo(100);
        }
    }

    @Test
    void copiesAndClearsRanges() {
        try (CpuDevice device = CpuDevice.open(1)) {
            Buffer buffer = device.allocate(8);
            device.copyFromHost(MemorySegment.ofArray(new byte[] {1, 2, 3, 4}), buffer, 2);
            device.clear(buffer, 3, 1);
            byte[] content = new byte[6];

            device.copyToHost(buffer, 1, MemorySegment.ofArray(content));

            assertThat(content).containsExactly(0, 1, 0, 3, 4, 0);
            assertThatThrownBy(() -> device.copyFromHost(MemorySegment.ofArray(new byte[4]), buffer, 5))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> device.copyToHost(buffer, 5, MemorySegment.ofArray(new byte[4])))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> device.clear(buffer, 7, 2)).isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> buffer.address(7, 2)).isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> buffer.address(-1, 2)).isInstanceOf(IndexOutOfBoundsException.class);
        }
    }

    @Test
    void alignedHostMemoryIsUsedAsItLies() {
        try (Arena arena = Arena.ofConfined();
                CpuDevice device = CpuDevice.open(1)) {
            MemorySegment host = arena.allocate(64, 64);

            Buffer buffer = device.upload(host.asSlice(4, 12), 4);

            assertThat(buffer.address(0, 12)).isEqualTo(host.address() + 4);
            assertThat(device.allocatedBytes()).isZero();
        }
    }

    @Test
    void misalignedHostMemoryIsCopied() {
        try (Arena arena = Arena.ofConfined();
                CpuDevice device = CpuDevice.open(1)) {
            MemorySegment host = arena.allocate(64, 64);
            host.set(ValueLayout.JAVA_BYTE, 1, (byte) 42);
            host.set(ValueLayout.JAVA_BYTE, 12, (byte) 43);

            Buffer buffer = device.upload(host.asSlice(1, 12), 4);

            assertThat(buffer.address(0, 12) % 4).isZero();
            assertThat(device.allocatedBytes()).isEqualTo(12);
            byte[] content = new byte[12];
            device.copyToHost(buffer, 0, MemorySegment.ofArray(content));
            assertThat(content).startsWith(42).endsWith(43);
            host.set(ValueLayout.JAVA_BYTE, 1, (byte) 0);
            device.copyToHost(buffer, 0, MemorySegment.ofArray(content));
            assertThat(content).as("a copy").startsWith(42);
        }
    }

    /** Memory of the Java heap has no address that a kernel could read. */
    @Test
    void heapMemoryIsCopied() {
        try (CpuDevice device = CpuDevice.open(1)) {
            Buffer buffer = device.upload(MemorySegment.ofArray(new byte[] {1, 2, 3, 4}), 4);

            byte[] content = new byte[4];
            device.copyToHost(buffer, 0, MemorySegment.ofArray(content));
            assertThat(content).containsExactly(1, 2, 3, 4);
            assertThat(device.allocatedBytes()).isEqualTo(4);
        }
    }

    @Test
    void hostMemoryMustOutliveItsUse() {
        try (CpuDevice device = CpuDevice.open(1)) {
            Buffer buffer;
            try (Arena arena = Arena.ofConfined()) {
                buffer = device.upload(arena.allocate(64, 64), 4);
            }

            assertThatThrownBy(() -> buffer.address(0, 64)).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void nothingIsUsedAfterClose() {
        CpuDevice device = CpuDevice.open(1);
        Buffer buffer = device.allocate(8);
        device.close();
        device.close();

        assertThatThrownBy(() -> buffer.address(0, 8))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("buffer used after its device memory was released");
        assertThatThrownBy(device::context)
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("device used after it was closed");
        assertThatThrownBy(() -> device.allocate(8)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(device::threads).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> device.copyToHost(buffer, 0, MemorySegment.ofArray(new byte[8])))
                .isInstanceOf(IllegalStateException.class);
    }

    /** Thirty-two devices of 64 MiB one after another: kept, they would take 2 GiB more than the first. */
    @Test
    void closeGivesTheMemoryBack() {
        long first = 0;
        long last = 0;
        for (int round = 0; round < 32; round++) {
            try (CpuDevice device = CpuDevice.open(2)) {
                device.allocate(64 << 20);
                last = device.memoryInUse();
            }
            first = round == 0 ? last : first;
        }

        assertThat(last - first).isLessThan(512 << 20);
    }

    @Test
    void plannedMemoryHasASizeOnly() {
        Buffer planned = Buffer.planned(1L << 50);

        assertThat(planned.bytes()).isEqualTo(1L << 50);
    }

    @Test
    void borrowedMemoryIsGivenBack() {
        try (Device device = CpuDevice.open(1)) {
            Loan loan = device.borrow(100);
            assertThat(loan.buffer().bytes()).isEqualTo(100);
            assertThat(loan.buffer().address(0, 100) % 64).isZero();
            assertThat(device.allocatedBytes()).isZero();
            loan.close();
            assertThatThrownBy(() -> loan.buffer().address(0, 1)).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void lentMemoryIsTheHostsOwnWhereItIsAligned() {
        try (Arena arena = Arena.ofConfined();
                Device device = CpuDevice.open(1)) {
            MemorySegment host = arena.allocate(64, 8);
            try (Loan own = device.lend(host, 4);
                    Loan copy = device.lend(host.asSlice(1, 32), 4)) {
                assertThat(own.buffer().address(0, 64)).isEqualTo(host.address());
                assertThat(copy.buffer().address(0, 32)).isNotEqualTo(host.address() + 1);
            }
        }
    }
}
