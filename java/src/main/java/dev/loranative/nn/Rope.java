package dev.loranative.nn;

import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;

/** Rotary position embedding: tables of cosines and sines for the positions in use. */
public final class Rope {

    private final RopeParameters parameters;
    private final int headDim;
    private final int maxPositionEmbeddings;
    private Tensor cosine;
    private Tensor sine;
    private int reserved;

    /** Longest sequence that the tables were made for. */
    private int madeFor;

    public Rope(RopeParameters parameters, int headDim, int maxPositionEmbeddings) {
        this.parameters = parameters;
        this.headDim = headDim;
        this.maxPositionEmbeddings = maxPositionEmbeddings;
    }

    /** Takes memory for sequences of up to that many positions; to be called before the first pass and when it grows. */
    public void reserve(Device device, int positions) {
        if (positions <= reserved) {
            return;
        }
        RopeTables tables = RopeTables.compute(parameters, headDim, maxPositionEmbeddings, positions);
        cosine = Tensor.allocate(device, DType.F32, positions, tables.rotaryDim() / 2);
        sine = Tensor.allocate(device, DType.F32, positions, tables.rotaryDim() / 2);
        cosine.copyFrom(device, tables.cosine());
        sine.copyFrom(device, tables.sine());
        reserved = positions;
        madeFor = positions;
    }

    /** To be called at the start of every pass: dynamic scaling depends on the longest sequence of the batch. */
    public void begin(Pass pass) {
        int longest = pass.tokens().positionsUsed();
        if (longest > reserved) {
            throw new IllegalStateException(longest + " positions in use, reserved were " + reserved);
        }
        // Up to the model's own context all lengths have the same tables.
        int wanted = Math.max(longest, Math.min(reserved, maxPositionEmbeddings));
        if (parameters.type() != RopeParameters.Type.DYNAMIC || wanted == madeFor) {
            return;
        }
        RopeTables tables = RopeTables.compute(parameters, headDim, maxPositionEmbeddings, wanted);
        pass.ops().upload(tables.cosine(), cosine.rows(0, wanted));
        pass.ops().upload(tables.sine(), sine.rows(0, wanted));
        if (!pass.ops().isPlanning()) {
            madeFor = wanted;
        }
    }

    /** Rotates in place; x [tokens, heads * headDim]. */
    void forward(Pass pass, Tensor x, long heads) {
        pass.ops().norms().rope(x, cosine, sine, pass.tokens().positions(), heads, headDim, false);
    }

    /** Rotates gradients back, in place. */
    void backward(Pass pass, Tensor dx, long heads) {
        pass.ops().norms().rope(dx, cosine, sine, pass.tokens().positions(), heads, headDim, true);
    }
}
