package dev.loranative.lora.merge;

import dev.loranative.config.MachineOptions;
import dev.loranative.device.Device;
import dev.loranative.device.Devices;

/** The device of a merge, which is opened anew for each model; that a GPU is not used is said once. */
final class MergeDevice {

    private final MachineOptions machine;
    private final Merge.Listener listener;
    private boolean opened;

    MergeDevice(MachineOptions machine, Merge.Listener listener) {
        this.machine = machine;
        this.listener = listener;
    }

    /** In the precision that is asked for. */
    Device open() {
        return open(machine.precision());
    }

    /** The bounds of logits are for float32 arithmetic, unless another is asked for; a GPU's own choice is bfloat16. */
    Device openForLogits() {
        return open(machine.precision().equals("auto") ? "float32" : machine.precision());
    }

    private Device open(String precision) {
        Device device = Devices.open(machine.device(), machine.threads(), precision, machine.gemm());
        if (!opened) {
            device.unusedGpu().ifPresent(cause -> listener.warning("the GPU is not used: " + cause));
            opened = true;
        }
        return device;
    }
}
