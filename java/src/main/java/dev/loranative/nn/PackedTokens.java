package dev.loranative.nn;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.Arrays;

/**
 * The tokens of a micro-batch on the device: sequences one after another, without padding.
 *
 * @param ids I32 [tokens]
 * @param positions I32 [tokens], restarting at 0 for every sequence
 * @param sequenceOffsets I32 [sequences + 1]
 * @param positionsUsed one more than the largest position
 */
public record PackedTokens(Tensor ids, Tensor positions, Tensor sequenceOffsets, int positionsUsed) {

    /** Allocates in the slab and copies from the host. */
    public static PackedTokens upload(Ops ops, Slab slab, int[] ids, int[] positions, int[] sequenceOffsets) {
        PackedTokens tokens = new PackedTokens(
                slab.allocate(DType.I32, ids.length),
                slab.allocate(DType.I32, positions.length),
                slab.allocate(DType.I32, sequenceOffsets.length),
                Arrays.stream(positions).max().orElse(-1) + 1);
        ops.upload(ids, tokens.ids);
        ops.upload(positions, tokens.positions);
        ops.upload(sequenceOffsets, tokens.sequenceOffsets);
        return tokens;
    }

    public long count() {
        return ids.size();
    }
}
