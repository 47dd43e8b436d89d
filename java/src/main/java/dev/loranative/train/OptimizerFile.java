package dev.loranative.train;

import dev.loranative.checkpoint.ByteTensors;
import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import dev.loranative.optim.Moments;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/** The optimizer's state as it was at a step, and its file in a checkpoint, {@code optimizer.safetensors}. */
final class OptimizerFile {

    private static final String NAME = Checkpoints.OPTIMIZER;

    private final List<SafetensorsWriter.Tensor> tensors = new ArrayList<>();
    private OptionalDouble bad = OptionalDouble.empty();

    OptimizerFile(Moments moments, Device device) {
        moments.tensors().forEach((name, tensor) -> tensors.add(copy(name, tensor, device)));
    }

    private SafetensorsWriter.Tensor copy(String name, Tensor tensor, Device device) {
        List<Long> shape = List.of(tensor.size());
        if (tensor.dtype() == DType.U8) {
            return ByteTensors.of(name, shape, tensor.toBytes(device));
        }
        float[] values = tensor.toFloats(device);
        firstBad(values).ifPresent(i -> bad = OptionalDouble.of(values[i]));
        return FloatTensors.of(name, shape, values);
    }

    /** A number of the state that is none. */
    OptionalDouble notFinite() {
        return bad;
    }

    void write(Path folder) {
        SafetensorsWriter.write(folder.resolve(NAME), tensors, Map.of("format", "lora-native"));
    }

    /** Fills the moments with the state of a checkpoint. */
    static void read(Path checkpoint, Moments moments, Device device) {
        try (SafetensorsFile file = SafetensorsFile.open(checkpoint.resolve(NAME))) {
            moments.tensors().forEach((name, tensor) -> read(file, name, tensor, device));
        }
    }

    private static void read(SafetensorsFile file, String name, Tensor tensor, Device device) {
        TensorEntry entry = file.find(name)
                .orElseThrow(() -> UserException.badInput(
                        "checkpoint file " + file.path() + " has no tensor " + name, "resume from another checkpoint"));
        if (entry.elements() != tensor.size()) {
            throw UserException.badInput(
                    "tensor " + name + " in " + file.path() + " has " + entry.elements() + " elements, the run has "
                            + tensor.size(),
                    "resume with the target modules, rank and optim of that run");
        }
        if (tensor.dtype() == DType.U8) {
            tensor.copyFrom(device, ByteTensors.read(file, entry));
            return;
        }
        float[] values = FloatTensors.read(file, entry);
        firstBad(values).ifPresent(i -> {
            throw Checkpoints.broken(file.path(), name + " holds " + values[i] + " at element " + i);
        });
        tensor.copyFrom(device, values);
    }

    private static OptionalInt firstBad(float[] values) {
        for (int i = 0; i < values.length; i++) {
            if (!Float.isFinite(values[i])) {
                return OptionalInt.of(i);
            }
        }
        return OptionalInt.empty();
    }
}
