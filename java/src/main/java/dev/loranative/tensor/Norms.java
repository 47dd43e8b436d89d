package dev.loranative.tensor;

import dev.loranative.ffi.Frame;
import dev.loranative.ffi.Structs;

/** RMSNorm, rotary position embedding and token embedding. */
public final class Norms {

    private final Launcher launcher;

    Norms(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * {@code z = x + residual; y = z * rstd * weight}.
     *
     * @param x any shape whose last part is width: rows * width elements
     * @param residual like x, or null
     * @param weight [width]
     * @param sum z, like x, or null when not wanted
     * @param y like x
     * @param rstd [rows], or null when not wanted
     */
    public void rmsNormForward(
            Tensor x, Tensor residual, Tensor weight, Tensor sum, Tensor y, Tensor rstd, float epsilon) {
        long width = weight.size();
        long rows = x.size() / width;
        Shapes.expectWeight("weight", weight, width);
        Shapes.expectElements("x", x, rows * width);
        Shapes.expectElements("y", y, rows * width);
        if (sum != null) {
            Shapes.expectElements("sum", sum, rows * width);
        }
        if (residual != null) {
            Shapes.expectElements("residual", residual, rows * width);
        }
        if (rstd != null) {
            Shapes.expectElements("rstd", rstd, rows);
        }
        Frame frame = launcher.frame(Structs.RMSNORM_FORWARD)
                .pointer("x", x.address())
                .pointer("residual", Launcher.address(residual))
                .pointer("weight", weight.address())
                .pointer("sum", Launcher.address(sum))
                .pointer("y", y.address())
                .pointer("rstd", Launcher.address(rstd))
                .int64("rows", rows)
                .int64("width", width)
                .float32("epsilon", epsilon)
                .int32("weight_dtype", weight.dtype().code());
        launcher.call(launcher.kernels().rmsNormForward(), frame);
    }

    /**
     * Backward of {@link #rmsNormForward}.
     *
     * @param z what was normalised
     * @param dResidual added to dx, or null
     * @param dx like z; may be dy or dResidual
     * @param gradWeight [width] accumulates, or null
     */
    public void rmsNormBackward(
            Tensor dy, Tensor z, Tensor weight, Tensor rstd, Tensor dResidual, Tensor dx, Tensor gradWeight) {
        long width = weight.size();
        long rows = z.size() / width;
        Shapes.expectElements("z", z, rows * width);
        Shapes.expectElements("dy", dy, rows * width);
        Shapes.expectElements("dx", dx, rows * width);
        Shapes.expectElements("rstd", rstd, rows);
        if (dResidual != null) {
            Shapes.expectElements("dResidual", dResidual, rows * width);
        }
        Shapes.expectFloatsOrNull("gradWeight", gradWeight, width);
        Frame frame = launcher.frame(Structs.RMSNORM_BACKWARD)
                .pointer("dy", dy.address())
                .pointer("z", z.address())
                .pointer("weight", weight.address())
                .pointer("rstd", rstd.address())
                .pointer("dresidual", Launcher.address(dResidual))
                .pointer("dx", dx.address())
                .pointer("grad_weight", Launcher.address(gradWeight))
                .int64("rows", rows)
                .int64("width", width)
                .int32("weight_dtype", weight.dtype().code());
        launcher.call(launcher.kernels().rmsNormBackward(), frame);
    }

    /**
     * Rotates x in place.
     *
     * @param x [tokens, heads * headDim] or [tokens, heads, headDim]
     * @param cosine [positions, rotaryDim / 2]
     * @param positions I32 [tokens]
     * @param transpose the backward pass
     */
    public void rope(
            Tensor x, Tensor cosine, Tensor sine, Tensor positions, long heads, long headDim, boolean transpose) {
        long tokens = positions.size();
        Shapes.expectInts("positions", positions, tokens);
        Shapes.expectElements("x", x, tokens * heads * headDim);
        Shapes.expectFloats("sine", sine, cosine.shape());
        Frame frame = launcher.frame(Structs.ROPE)
                .pointer("x", x.address())
                .pointer("cosine", cosine.address())
                .pointer("sine", sine.address())
                .pointer("positions", positions.address())
                .int64("tokens", tokens)
                .int64("heads", heads)
                .int64("head_dim", headDim)
                .int64("rotary_dim", 2 * cosine.dimension(1))
                .int64("table_rows", cosine.dimension(0))
                .flag("transpose", transpose);
        launcher.call(launcher.kernels().rope(), frame);
    }

    /**
     * {@code y[t] = table[ids[t]]}.
     *
     * @param table [vocabulary, width]
     * @param ids I32 [tokens]
     * @param y [tokens, width]
     */
    public void embeddingForward(Tensor table, Tensor ids, Tensor y) {
        long tokens = ids.size();
        Shapes.expectWeight("table", table, table.dimension(0), table.dimension(1));
        Shapes.expectInts("ids", ids, tokens);
        Shapes.expectFloats("y", y, tokens, table.dimension(1));
        launcher.call(() -> (int) launcher.kernels()
                .embeddingForward()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(table),
                        table.dtype().code(),
                        Launcher.pointer(ids),
                        Launcher.pointer(y),
                        tokens,
                        table.dimension(0),
                        table.dimension(1)));
    }

    /**
     * Replaces rows: {@code y[t] = rows[slots[ids[t]]]} where there is a slot.
     *
     * @param rows [count, width]
     * @param slots I32 [vocabulary]: the row that stands for an id, -1 for none
     * @param ids I32 [tokens]
     * @param y [tokens, width]
     */
    public void embeddingRowsForward(Tensor rows, Tensor slots, Tensor ids, Tensor y) {
        checkRows(rows, slots, ids, y);
        launcher.call(() -> (int) launcher.kernels()
                .embeddingRowsForward()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(rows),
                        Launcher.pointer(slots),
                        Launcher.pointer(ids),
                        Launcher.pointer(y),
                        ids.size(),
                        slots.size(),
                        rows.dimension(0),
                        rows.dimension(1)));
    }

    /**
     * {@code gradRows[slots[ids[t]]] += dy[t]} where there is a slot.
     *
     * @param gradRows [count, width]
     */
    public void embeddingRowsBackward(Tensor dy, Tensor slots, Tensor ids, Tensor gradRows) {
        checkRows(gradRows, slots, ids, dy);
        launcher.call(() -> (int) launcher.kernels()
                .embeddingRowsBackward()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(dy),
                        Launcher.pointer(slots),
                        Launcher.pointer(ids),
                        Launcher.pointer(gradRows),
                        ids.size(),
                        slots.size(),
                        gradRows.dimension(0),
                        gradRows.dimension(1)));
    }

    private static void checkRows(Tensor rows, Tensor slots, Tensor ids, Tensor y) {
        Shapes.expectFloats("rows", rows, rows.dimension(0), rows.dimension(1));
        Shapes.expectInts("slots", slots, slots.size());
        Shapes.expectInts("ids", ids, ids.size());
        Shapes.expectFloats("y", y, ids.size(), rows.dimension(1));
    }

    /**
     * {@code gradTable[ids[t]] += dy[t]}.
     *
     * @param gradTable [vocabulary, width]
     */
    public void embeddingBackward(Tensor dy, Tensor ids, Tensor gradTable) {
        long tokens = ids.size();
        Shapes.expectFloats("gradTable", gradTable, gradTable.dimension(0), gradTable.dimension(1));
        Shapes.expectFloats("dy", dy, tokens, gradTable.dimension(1));
        Shapes.expectInts("ids", ids, tokens);
        launcher.call(() -> (int) launcher.kernels()
                .embeddingBackward()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(dy),
                        Launcher.pointer(ids),
                        Launcher.pointer(gradTable),
                        tokens,
                        gradTable.dimension(0),
                        gradTable.dimension(1)));
    }
}
