package dev.loranative.quant;

import java.util.List;
import java.util.Optional;

/**
 * A 4-bit weight of a checkpoint: a tensor of its own, or one expert's part of a tensor in which all experts of a layer lie
 * one after the other.
 *
 * @param name of the weight, which is no tensor's where experts share one
 * @param tensor that holds it
 * @param first its first element there
 * @param shape [out, in]
 */
public record StoredWeight(String name, StoredTensor tensor, long first, List<Long> shape) {

    public StoredWeight {
        shape = List.copyOf(shape);
    }

    /** What the file says about the tensor that holds the weight. */
    public QuantState state() {
        return tensor.state();
    }

    /** Name of the tensor with the quantisation state. */
    public String stateName() {
        return tensor.stateName();
    }

    public long elements() {
        return shape.stream().reduce(1L, Math::multiplyExact);
    }

    boolean isWhole() {
        return elements() == state().elements();
    }

    /** How its scales are grouped on a device; empty where it cannot be in 4 bits there. */
    Optional<BlockSizes> blocks() {
        return isWhole()
                ? Optional.of(new BlockSizes(state().blockSize(), QuantState.NESTED_BLOCK))
                : BlockSizes.dividing(state(), elements());
    }

    /**
     * Whether a device holds it in 4 bits. Not where experts share a tensor and are so small or odd that their edges do not
     * even fall on multiples of 32 elements: these are held as float32, with the same values.
     */
    public boolean isFourBits() {
        return blocks().isPresent();
    }

    /** Memory on a device: codes and scales, or floats. */
    public long bytes() {
        return blocks().map(sizes -> QuantState.codeBytes(elements()) + sizes.scaleBytes(elements(), isNested()))
                .orElse(Float.BYTES * elements());
    }

    /** Bytes of {@link #bytes} that cannot be used as they lie in the file. */
    public long copiedBytes() {
        if (isWhole()) {
            return 0;
        }
        Optional<BlockSizes> sizes = blocks();
        if (sizes.isEmpty()) {
            return bytes();
        }
        long scales = sizes.get().scaleBytes(elements(), isNested());
        if (sizes.get().block() < state().blockSize()) {
            return scales;
        }
        boolean sameNested = !isNested() || sizes.get().nestedBlock() == QuantState.NESTED_BLOCK;
        return sameNested ? 0 : scales - elements() / sizes.get().block();
    }

    boolean isNested() {
        return state().nested().isPresent();
    }
}
