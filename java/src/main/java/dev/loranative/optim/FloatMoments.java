package dev.loranative.optim;

import dev.loranative.device.Device;
import dev.loranative.nn.ParameterArena;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Losses;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.SequencedMap;

/** F32, as many elements as the arena. */
final class FloatMoments implements Moments {

    private final Tensor first;
    private final Tensor second;

    FloatMoments(Device device, ParameterArena arena) {
        this.first = Tensor.allocate(device, DType.F32, arena.size());
        this.second = Tensor.allocate(device, DType.F32, arena.size());
    }

    /** @param groups their parameters */
    static long bytes(Collection<Long> groups) {
        return 2 * Float.BYTES * groups.stream().mapToLong(Long::longValue).sum();
    }

    @Override
    public void step(Ops ops, ParameterArena arena, long start, long count, Losses.AdamW arguments) {
        ops.losses()
                .adamW(
                        arena.values().range(start, count),
                        arena.gradients().range(start, count),
                        first.range(start, count),
                        second.range(start, count),
                        arguments);
    }

    @Override
    public SequencedMap<String, Tensor> tensors() {
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put("first_moments", first);
        tensors.put("second_moments", second);
        return tensors;
    }
}
