package dev.loranative.model;

import dev.loranative.device.Loan;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;

/**
 * A module's frozen weight as floats, whatever it is held in: rows at a time, so that a whole copy need never exist.
 *
 * @param weight [out, in]: F32, BF16, F16, NF4 or FP4
 */
public record WeightRows(Tensor weight) {

    /** Rows of the weight: outputs. */
    public long out() {
        return weight.dimension(0);
    }

    /** Columns of the weight: inputs. */
    public long in() {
        return weight.dimension(1);
    }

    /**
     * Widened or dequantised: exactly the values that products compute with.
     *
     * @param target F32 [rows, in], written
     */
    public void read(Ops ops, long firstRow, Tensor target) {
        if (target.dtype() != DType.F32 || target.dimension(1) != in()) {
            throw new IllegalArgumentException(target + " cannot hold rows of " + weight);
        }
        if (weight.dtype().isQuantized()) {
            ops.quantization().dequantize(weight, firstRow * in(), target);
        } else {
            ops.elementwise().cast(weight.rows(firstRow, target.dimension(0)), target);
        }
    }

    /** [rows, in], row major. */
    public float[] read(Ops ops, long firstRow, int rows) {
        try (Loan loan = ops.device().borrow(rows * in() * Float.BYTES)) {
            Tensor target = new Tensor(loan.buffer(), 0, DType.F32, rows, in());
            read(ops, firstRow, target);
            return target.toFloats(ops.device());
        }
    }
}
