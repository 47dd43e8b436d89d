package dev.loranative.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.loranative.device.Buffer;
import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import dev.loranative.device.Loan;
import dev.loranative.errors.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledIfSystemProperty;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The device through JCuda, on a driver whose device memory is the host's. */
@EnabledIfSystemProperty(named = "lora.native.cuda.library", matches = ".+")
@DisabledIfSystemProperty(
        named = "lora.native.cublas",
        matches = "true",
        disabledReason = "it is of machines without cuBLAS")
class CudaDeviceOnFakeGpuTest {

    private static Device open() {
        return Devices.open("cuda:0", 1);
    }

    @Test
    void isTakenByAutoAndSaysWhatItIs() {
        try (Device device = Devices.open("auto", 1)) {
            assertThat(device.description())
                    .isEqualTo("cuda:0 (Fake GPU, 4.0 GiB, compute capability 9.0), bfloat16, products by own kernels");
        }
        assertThat(Devices.unavailabilityCause()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 1, 1000, Staging.HALF, 2L * Staging.HALF + 17})
    void copiesThereAndBack(long bytes) {
        try (Device device = open();
                Arena arena = Arena.ofConfined()) {
            MemorySegment source = arena.allocate(bytes);
            for (long i = 0; i < bytes; i++) {
                source.set(java.lang.foreign.ValueLayout.JAVA_BYTE, i, (byte) (i * 7));
            }
            Buffer buffer = device.allocate(bytes + 100);
            device.copyFromHost(source, buffer, 100);
            MemorySegment target = arena.allocate(bytes);
            device.copyToHost(buffer, 100, target);
            assertThat(target.mismatch(source)).isEqualTo(-1);
        }
    }

    /** Many small copies, which lie behind each other in the staging memory until it is full twice. */
    @Test
    void smallCopiesArriveWhole() {
        int ints = 100_003;
        int copies = Math.ceilDiv(5 * Staging.HALF, ints * Integer.BYTES);
        try (Device device = open();
                Arena arena = Arena.ofConfined()) {
            Buffer buffer = device.allocate((long) copies * ints * Integer.BYTES);
            int[] values = new int[ints];
            for (int copy = 0; copy < copies; copy++) {
                Arrays.fill(values, copy);
                device.copyFromHost(MemorySegment.ofArray(values), buffer, (long) copy * ints * Integer.BYTES);
            }
            MemorySegment seen = arena.allocate(buffer.bytes());
            device.copyToHost(buffer, 0, seen);
            for (int copy = 0; copy < copies; copy++) {
                Arrays.fill(values, copy);
                MemorySegment part = seen.asSlice((long) copy * ints * Integer.BYTES, ints * Integer.BYTES);
                assertThat(part.mismatch(MemorySegment.ofArray(values)))
                        .as("copy " + copy)
                        .isEqualTo(-1);
            }
        }
    }

    @Test
    void memoryIsZeroAtFirstAndWhereItIsCleared() {
        try (Device device = open();
                Arena arena = Arena.ofConfined()) {
            Buffer buffer = device.allocate(64);
            MemorySegment seen = arena.allocate(64).fill((byte) 1);
            device.copyToHost(buffer, 0, seen);
            assertThat(seen.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE)).containsOnly(0);
            device.copyFromHost(arena.allocate(64).fill((byte) 3), buffer, 0);
            device.clear(buffer, 8, 16);
            device.copyToHost(buffer, 0, seen);
            byte[] bytes = seen.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
            for (int i = 0; i < 64; i++) {
                assertThat(bytes[i]).as("byte " + i).isEqualTo((byte) (i >= 8 && i < 24 ? 0 : 3));
            }
        }
    }

    @Test
    void reservedMemoryIsTakenOnceAndGivenBack() {
        long before;
        try (Device device = open()) {
            before = device.availableBytes().orElseThrow();
            device.reserve("a part", 1L << 30);
            long reserved = device.availableBytes().orElseThrow();
            assertThat(before - reserved).isGreaterThanOrEqualTo(1L << 30);
            for (int i = 0; i < 16; i++) {
                device.allocate((1L << 30) / 16);
            }
            assertThat(device.availableBytes().orElseThrow()).isEqualTo(reserved);
            assertThat(device.allocatedBytes()).isEqualTo(1L << 30);
            assertThat(device.memoryInUse()).isGreaterThanOrEqualTo(1L << 30);
        }
        try (Device device = open()) {
            assertThat(device.availableBytes()).hasValue(before);
        }
    }

    @Test
    void loansAreGivenBackAndThenRefused() {
        try (Device device = open()) {
            long before = device.availableBytes().orElseThrow();
            Loan loan = device.borrow(100 << 20);
            Buffer buffer = loan.buffer();
            assertThat(device.availableBytes().orElseThrow()).isLessThan(before);
            loan.close();
            assertThat(device.availableBytes()).hasValue(before);
            assertThatThrownBy(() -> buffer.address(0, 1)).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void smallLoansAreTheMemoryOfEarlierOnes() {
        try (Device device = open()) {
            long before = device.availableBytes().orElseThrow();
            Loan first = device.borrow(10 << 20);
            Loan second = device.borrow(100);
            long there = first.buffer().address(0, 1);
            first.close();
            second.close();
            assertThat(device.availableBytes()).hasValue(before);
            try (Loan again = device.borrow(5 << 20);
                    Loan other = device.borrow(5 << 20)) {
                assertThat(again.buffer().address(0, 5 << 20)).isEqualTo(there);
                assertThat(other.buffer().address(0, 5 << 20)).isNotEqualTo(there);
            }
        }
    }

    @Test
    void saysWhatWasAskedForWhenMemoryEnds() {
        try (Device device = open()) {
            UserException e = catchThrowableOfType(UserException.class, () -> device.allocate(5L << 30));
            assertThat(e)
                    .hasMessageStartingWith("out of memory on cuda:0 (Fake GPU")
                    .hasMessageContaining("5368709120 bytes asked for")
                    .hasMessageContaining(" free");
            assertThat(e.exitCode()).isEqualTo(UserException.DOES_NOT_FIT);
        }
    }

    @Test
    void namesTheDevicesThereAre() {
        UserException e = catchThrowableOfType(UserException.class, () -> Devices.open("cuda:3", 1));
        assertThat(e).hasMessage("device 'cuda:3' does not exist");
        assertThat(e.hint()).startsWith("use one of cuda:0 (Fake GPU");
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
    }

    @Test
    void saysWhyJcublasCannotBeUsed() {
        UserException e = catchThrowableOfType(UserException.class, () -> Devices.open("cuda:0", 1, "auto", "jcublas"));
        assertThat(e).hasMessageStartingWith("gemm is jcublas, but JCublas needs cuBLAS 12");
    }

    /** JCuda's library must not be loaded from, nor left in, the folder that all users share. */
    @Test
    void leavesNothingInTheTemporaryFolder() throws Exception {
        open().close();
        try (Stream<Path> files = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
            assertThat(files.map(file -> file.getFileName().toString()))
                    .noneMatch(name -> name.startsWith("libJCuda") || name.startsWith("lora-native-jcuda"));
        }
    }
}
