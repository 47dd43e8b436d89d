package dev.loranative.tensor;

import dev.loranative.ffi.Frame;
import dev.loranative.ffi.Structs;

/**
 * The gated MLPs of all experts where several ops are one: the gate and up products over the same rows with the
 * activation behind them, {@code ln_grouped_gated_*}, and the backward pass of the down projection with the sum of a
 * token's rows, {@code ln_grouped_down_bwd}.
 */
public final class GatedProducts {

    private final Launcher launcher;

    GatedProducts(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * One projection of all experts.
     *
     * @param weights [out, in] per expert
     * @param lora null for none
     * @param u [rows, maxRank], written by the forward pass and read by the backward pass; null without adapters
     * @param v [rows, maxRank], working memory of the backward pass; null forward and without adapters
     */
    public record Side(ExpertWeights weights, Products.GroupedLora lora, Tensor u, Tensor v) {}

    /**
     * {@code y = activation(gate) * up} with {@code gate} and {@code up} as
     * {@link Products#groupedLinearForward} gives them.
     *
     * @param x [rows, in], rows sorted by expert
     * @param offsets I32 [experts + 1]
     * @param gated [rows, out], the gate products for the backward pass; null together with raised when nobody needs them
     * @param raised [rows, out], the up products
     * @param y [rows, out], neither gated nor raised
     */
    public void forward(
            Activation activation,
            Tensor x,
            Tensor offsets,
            Side gate,
            Side up,
            Tensor gated,
            Tensor raised,
            Tensor y) {
        long rows = x.dimension(0);
        Frame frame = frame(launcher.frame(Structs.GROUPED_GATED_FORWARD), activation, rows, offsets, gate, up);
        ExpertWeights weights = gate.weights();
        Shapes.expectFloats("x", x, rows, weights.in());
        Shapes.expectFloats("y", y, rows, weights.out());
        Shapes.expectFloatsOrNull("gated", gated, rows, weights.out());
        Shapes.expectFloatsOrNull("raised", raised, rows, weights.out());
        frame.pointer("x", x.address())
                .pointer("gate", Launcher.address(gated))
                .pointer("up", Launcher.address(raised))
                .pointer("y", y.address());
        launcher.call(launcher.kernels().groupedGatedForward(), ScratchOp.GROUPED_GATED_FORWARD, frame);
    }

    /**
     * Backward of {@link #forward} with frozen weights; adapters' gradients accumulate.
     *
     * @param dy [rows, out], or null when gated and raised are the gradients already, see {@link #downBackward}
     * @param gated of the forward pass; its gradient takes its place
     * @param raised of the forward pass; its gradient takes its place
     * @param dx [rows, in], written, or null when the input needs no gradient
     */
    public void backward(
            Activation activation,
            Tensor dy,
            Tensor x,
            Tensor offsets,
            Side gate,
            Side up,
            Tensor gated,
            Tensor raised,
            Tensor dx) {
        long rows = x.dimension(0);
        Frame frame = frame(launcher.frame(Structs.GROUPED_GATED_BACKWARD), activation, rows, offsets, gate, up);
        ExpertWeights weights = gate.weights();
        Shapes.expectFloatsOrNull("dy", dy, rows, weights.out());
        Shapes.expectFloats("x", x, rows, weights.in());
        Shapes.expectFloats("gated", gated, rows, weights.out());
        Shapes.expectFloats("raised", raised, rows, weights.out());
        Shapes.expectFloatsOrNull("dx", dx, rows, weights.in());
        gradients(frame, "gate_", rows, gate);
        gradients(frame, "up_", rows, up);
        frame.pointer("dy", Launcher.address(dy))
                .pointer("x", x.address())
                .pointer("gate", gated.address())
                .pointer("up", raised.address())
                .pointer("dx", Launcher.address(dx));
        launcher.call(launcher.kernels().groupedGatedBackward(), ScratchOp.GROUPED_GATED_BACKWARD, frame);
    }

    /**
     * Backward of {@code y[t] = sum_j scores[t,j] * down(inner[row of (t,j)])} with
     * {@code inner = activation(gated) * raised} and frozen weights, without the experts' outputs; adapters' gradients
     * accumulate.
     *
     * @param dy [tokens, out]
     * @param rowsOfPairs I32 [tokens * topK], rows sorted by expert
     * @param scores [tokens, topK]
     * @param dScores [tokens, topK], written
     * @param down its u, of the forward pass, is multiplied by the rows' scores when its adapters have gradients; v is
     *     written, without scores
     * @param gated [rows, in]; its gradient takes its place
     * @param raised [rows, in]; its gradient takes its place
     * @param inner [rows, in], written with the rows' scores as factors; null unless somebody reads it, as gradients of
     *     adapters do
     */
    public void downBackward(
            Activation activation,
            Tensor dy,
            Tensor rowsOfPairs,
            Tensor scores,
            Tensor dScores,
            Tensor offsets,
            Side down,
            Tensor gated,
            Tensor raised,
            Tensor inner) {
        ExpertWeights weights = down.weights();
        long tokens = dy.dimension(0);
        long topK = scores.dimension(1);
        long rows = tokens * topK;
        Shapes.expectFloats("dy", dy, tokens, weights.out());
        Shapes.expectInts("rowsOfPairs", rowsOfPairs, rows);
        Shapes.expectFloats("scores", scores, tokens, topK);
        Shapes.expectFloats("dScores", dScores, tokens, topK);
        Shapes.expectInts("offsets", offsets, weights.experts() + 1);
        Shapes.expectFloats("gated", gated, rows, weights.in());
        Shapes.expectFloats("raised", raised, rows, weights.in());
        Shapes.expectFloatsOrNull("inner", inner, rows, weights.in());
        Frame frame = launcher.frame(Structs.GROUPED_DOWN_BACKWARD);
        side(frame, "", rows, down);
        gradients(frame, "", rows, down);
        frame.pointer("dy", dy.address())
                .pointer("rows_of_pairs", rowsOfPairs.address())
                .pointer("scores", scores.address())
                .pointer("dscores", dScores.address())
                .pointer("offsets", offsets.address())
                .pointer("gate", gated.address())
                .pointer("up", raised.address())
                .pointer("inner", Launcher.address(inner))
                .int64("tokens", tokens)
                .int64("top_k", topK)
                .int64("in", weights.in())
                .int64("out", weights.out())
                .int64("experts", weights.experts())
                .int32("weight_dtype", weights.dtype().code())
                .int32("activation", activation.ordinal());
        launcher.call(launcher.kernels().groupedDownBackward(), ScratchOp.GROUPED_DOWN_BACKWARD, frame);
    }

    private static Frame frame(Frame frame, Activation activation, long rows, Tensor offsets, Side gate, Side up) {
        ExpertWeights weights = gate.weights();
        Shapes.expectInts("offsets", offsets, weights.experts() + 1);
        if (!weights.hasShapeOf(up.weights())) {
            throw new IllegalArgumentException("gate and up differ: " + weights + " and " + up.weights());
        }
        side(frame, "gate_", rows, gate);
        side(frame, "up_", rows, up);
        return frame.pointer("offsets", offsets.address())
                .int64("rows", rows)
                .int64("in", weights.in())
                .int64("out", weights.out())
                .int64("experts", weights.experts())
                .int32("weight_dtype", weights.dtype().code())
                .int32("activation", activation.ordinal());
    }

    /** @param prefix of the fields' names */
    private static void side(Frame frame, String prefix, long rows, Side side) {
        frame.pointer(prefix + "weights", side.weights().addresses().address());
        Products.GroupedLora lora = side.lora();
        if (lora == null) {
            return;
        }
        Shapes.expectFloats(prefix + "u", side.u(), rows, lora.maxRank());
        frame.pointer(prefix + "lora_a", lora.a().address())
                .pointer(prefix + "lora_b", lora.b().address())
                .pointer(prefix + "ranks", lora.ranks().address())
                .pointer(prefix + "scales", lora.scales().address())
                .pointer(prefix + "u", side.u().address())
                .int64(prefix + "max_rank", lora.maxRank());
    }

    private static void gradients(Frame frame, String prefix, long rows, Side side) {
        Products.GroupedLora lora = side.lora();
        if (lora == null) {
            return;
        }
        Shapes.expectFloats(prefix + "v", side.v(), rows, lora.maxRank());
        frame.pointer(prefix + "v", side.v().address())
                .pointer(prefix + "grad_a", Launcher.address(lora.gradA()))
                .pointer(prefix + "grad_b", Launcher.address(lora.gradB()));
    }
}
