package dev.loranative.tensor;

import dev.loranative.device.Device;

/**
 * One projection of all experts of a layer: equally shaped weights wherever they lie, reached through a device table of
 * addresses.
 */
public final class ExpertWeights {

    private final Tensor[] weights;
    private final Tensor addresses;

    /** @param weights one [out, in] per expert, all of one shape and dtype */
    public ExpertWeights(Device device, Tensor[] weights) {
        this.weights = weights.clone();
        for (Tensor weight : weights) {
            if (weight.dtype() != weights[0].dtype() || !weight.hasShape(weights[0].shape())) {
                throw new IllegalArgumentException("experts differ: " + weights[0] + " and " + weight);
            }
        }
        this.addresses = Tensor.addresses(device, weights);
    }

    public long experts() {
        return weights.length;
    }

    public long out() {
        return weights[0].dimension(0);
    }

    public long in() {
        return weights[0].dimension(1);
    }

    public DType dtype() {
        return weights[0].dtype();
    }

    /** Whether the other projection has as many experts of the same shape and dtype. */
    public boolean hasShapeOf(ExpertWeights other) {
        return experts() == other.experts()
                && dtype() == other.dtype()
                && weights[0].hasShape(other.weights[0].shape());
    }

    @Override
    public String toString() {
        return experts() + " x " + weights[0];
    }

    Tensor addresses() {
        return addresses;
    }
}
