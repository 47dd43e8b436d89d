package dev.loranative.optim;

import dev.loranative.device.Device;
import dev.loranative.nn.ParameterArena;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Losses;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SequencedMap;

/**
 * A byte for each moment and a scale for every 256 of them (Dettmers et al. 2022, arXiv:2110.02861). Blocks are counted
 * over a group of the arena, whose tensors lie behind each other; every group begins a block.
 */
final class EightBitMoments implements Moments {

    private final Tensor first;
    private final Tensor firstScales;
    private final Tensor second;
    private final Tensor secondScales;
    /** The first block of a group, by its first element. */
    private final Map<Long, Long> firstBlocks = new HashMap<>();

    EightBitMoments(Device device, ParameterArena arena) {
        long blocks = blocks(arena, firstBlocks);
        this.first = Tensor.allocate(device, DType.U8, blocks * Losses.MOMENT_BLOCK);
        this.firstScales = Tensor.allocate(device, DType.F32, blocks);
        this.second = Tensor.allocate(device, DType.U8, blocks * Losses.MOMENT_BLOCK);
        this.secondScales = Tensor.allocate(device, DType.F32, blocks);
    }

    /** @param groups their parameters */
    static long bytes(Collection<Long> groups) {
        long blocks = groups.stream().mapToLong(EightBitMoments::blocks).sum();
        return 2 * blocks * (Losses.MOMENT_BLOCK + Float.BYTES);
    }

    private static long blocks(long parameters) {
        return Math.ceilDiv(parameters, Losses.MOMENT_BLOCK);
    }

    private static long blocks(ParameterArena arena, Map<Long, Long> firstBlocks) {
        long[] blocks = new long[1];
        arena.forEachGroup((_, start, count) -> {
            if (count > 0) {
                firstBlocks.put(start, blocks[0]);
            }
            blocks[0] += blocks(count);
        });
        return blocks[0];
    }

    @Override
    public void step(Ops ops, ParameterArena arena, long start, long count, Losses.AdamW arguments) {
        if (count == 0) {
            return;
        }
        long block = firstBlocks.get(start);
        long blocks = blocks(count);
        Losses.EightBits moments = new Losses.EightBits(
                first.range(block * Losses.MOMENT_BLOCK, count),
                firstScales.range(block, blocks),
                second.range(block * Losses.MOMENT_BLOCK, count),
                secondScales.range(block, blocks));
        ops.losses()
                .adamW(arena.values().range(start, count), arena.gradients().range(start, count), moments, arguments);
    }

    @Override
    public SequencedMap<String, Tensor> tensors() {
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put("first_moments", first);
        tensors.put("first_absmax", firstScales);
        tensors.put("second_moments", second);
        tensors.put("second_absmax", secondScales);
        return tensors;
    }
}
