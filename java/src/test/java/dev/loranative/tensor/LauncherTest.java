package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.loranative.device.CpuDevice;
import dev.loranative.errors.UserException;
import dev.loranative.ffi.KernelException;
import org.junit.jupiter.api.Test;

class LauncherTest {

    /** The numbers of {@code ln_status}. */
    private static final int INVALID_ARGUMENT = 1;

    private static final int DEVICE_ERROR = 6;

    @Test
    void a_refused_argument_is_a_defect_and_a_failed_device_is_none() {
        try (CpuDevice device = CpuDevice.open(1)) {
            Launcher launcher = new Launcher(device);

            assertThatThrownBy(() -> launcher.call(() -> INVALID_ARGUMENT)).isInstanceOf(KernelException.class);

            UserException failed = catchThrowableOfType(UserException.class, () -> launcher.call(() -> DEVICE_ERROR));
            assertThat(failed).hasMessageStartingWith("the GPU failed: ");
            assertThat(failed.hint()).contains("resume", "CUDA_LAUNCH_BLOCKING=1");
            assertThat(failed.exitCode()).isEqualTo(UserException.FAILED);
        }
    }
}
