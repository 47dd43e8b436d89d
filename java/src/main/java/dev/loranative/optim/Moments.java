package dev.loranative.optim;

import dev.loranative.device.Device;
import dev.loranative.nn.ParameterArena;
import dev.loranative.tensor.Losses;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.SequencedMap;

/** What AdamW remembers of the gradients, for every parameter of an arena. */
public sealed interface Moments permits FloatMoments, EightBitMoments {

    /** Moments of 0. */
    static Moments allocate(Device device, ParameterArena arena, boolean eightBit) {
        return eightBit ? new EightBitMoments(device, arena) : new FloatMoments(device, arena);
    }

    /** What {@link #allocate} takes. */
    static long bytes(ParameterArena arena, boolean eightBit) {
        List<Long> counts = new ArrayList<>();
        arena.forEachGroup((_, _, count) -> counts.add(count));
        return bytes(counts, eightBit);
    }

    /** What {@link #allocate} takes for groups of so many parameters. */
    static long bytes(Collection<Long> groups, boolean eightBit) {
        return eightBit ? EightBitMoments.bytes(groups) : FloatMoments.bytes(groups);
    }

    /** One step for the group of the arena that starts at element {@code first} and has {@code count}. */
    void step(Ops ops, ParameterArena arena, long first, long count, Losses.AdamW arguments);

    /** The state by its names in a checkpoint: F32 and U8. */
    SequencedMap<String, Tensor> tensors();
}
