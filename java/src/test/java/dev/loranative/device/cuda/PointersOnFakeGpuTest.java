package dev.loranative.device.cuda;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.config.QuantizationOptions;
import dev.loranative.device.Buffer;
import dev.loranative.device.GemmChoice;
import dev.loranative.device.Precision;
import dev.loranative.ffi.NativeLibrary;
import dev.loranative.ffi.PointerGuard;
import dev.loranative.model.ModelFiles;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.Family;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every pointer that a kernel gets is one into device memory: on a GPU the host's would end the run. */
@EnabledIfSystemProperty(named = "lora.native.cuda.library", matches = ".+")
class PointersOnFakeGpuTest {

    private static final Path MODEL = Path.of("src", "test", "resources", "reference", "qwen3moe-router", "model");

    private CudaDevice device;

    private CudaDevice open() {
        NativeLibrary library = NativeLibrary.openCuda().orElseThrow();
        device = CudaDevice.open(
                0, PointerGuard.of(library, address -> device.holds(address)), Precision.F32, GemmChoice.OWN);
        return device;
    }

    @ParameterizedTest
    @EnumSource
    void ofTheTable(Family family) {
        try (Bench bench = new Bench(open())) {
            for (OpCase opCase : OpCases.of(family, OpCase.Use.CHECK)) {
                opCase.on(bench).run();
            }
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void ofQuantisingOnLoading(boolean nested) {
        try (CudaDevice opened = open();
                ModelFiles files = ModelFiles.open(MODEL, options(nested))) {
            files.load(opened);
        }
    }

    private static QuantizationOptions options(boolean nested) {
        return new QuantizationOptions(
                true,
                "nf4",
                nested,
                64,
                List.of(),
                true,
                Optional.empty(),
                "uint8",
                Optional.empty(),
                Optional.empty(),
                Optional.empty());
    }

    /** The guard guards. */
    @Test
    void ofTheHostAreRefused() {
        try (CudaDevice opened = open();
                Arena arena = Arena.ofConfined()) {
            MemorySegment host = arena.allocate(4);
            Tensor wrong = new Tensor(Buffer.at(host.address(), 4, arena), 0, DType.F32, 1);
            Tensor sum = Tensor.allocate(opened, DType.F64, 1);
            assertThatThrownBy(() -> new Ops(opened).losses().sum(wrong, sum))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("ln_sum, argument 1 is not device memory");
        }
    }
}
