package dev.loranative.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.loranative.errors.UserException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DevicesTest {

    @ParameterizedTest
    @ValueSource(strings = {"cpu", "auto"})
    void opensTheCpu(String name) {
        try (Device device = Devices.open(name, 1)) {
            assertThat(device.description()).startsWith("CPU, 1 thread");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"cuda", "cuda:0", "cuda:12"})
    void saysWhyThereIsNoGpu(String name) {
        UserException e = catchThrowableOfType(UserException.class, () -> Devices.open(name, 1));

        assertThat(e)
                .hasMessageStartingWith("device '" + name + "' is not available: ")
                .hasMessageContaining(Devices.unavailabilityCause().orElseThrow());
        assertThat(e.hint()).isEqualTo("use --device cpu");
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "CPU", "gpu", "cuda:", "cuda:x", "cuda:-1"})
    void refusesAnUnknownName(String name) {
        UserException e = catchThrowableOfType(UserException.class, () -> Devices.open(name, 1));

        assertThat(e).hasMessage("device '" + name + "' is unknown");
        assertThat(e.hint()).contains("auto", "cpu", "cuda:N");
    }

    @ParameterizedTest
    @ValueSource(strings = {"cublas", "jcublas"})
    void theCpuComputesItsProductsItself(String gemm) {
        for (String name : List.of("cpu", "auto")) {
            UserException e = catchThrowableOfType(UserException.class, () -> Devices.open(name, 1, "auto", gemm));

            assertThat(e).hasMessage("gemm is for GPUs, and the device is the CPU");
            assertThat(e.hint()).isEqualTo("leave gemm out");
            assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
        }
        Devices.open("cpu", 1, "auto", "own").close();
    }

    @Test
    void theCpuDoesNotMultiplyInBfloat16() {
        UserException e = catchThrowableOfType(UserException.class, () -> Devices.open("cpu", 1, "bfloat16", "auto"));

        assertThat(e).hasMessage("precision is bfloat16, which the CPU's kernels do not compute in");
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
        Devices.open("cpu", 1, "float32", "auto").close();
    }

    @Test
    void theCauseIsOneSentence() {
        assertThat(Devices.unavailabilityCause().orElseThrow().lines()).hasSize(1);
    }
}
