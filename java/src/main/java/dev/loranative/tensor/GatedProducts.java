package dev.loranative.tensor;

import dev.loranative.ffi.Frame;
import dev.loranative.ffi.Structs;

/**
 * The first half of gated MLPs for all experts: the gate and up products over the same rows, and the activation behind
 * them. {@code ln_grouped_gated_*}.
 */
public final class GatedProducts {

    private final Launcher launcher;

    GatedProducts(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * The gate or up projection of all experts.
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
     * @param dy [rows, out]
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
        Shapes.expectFloats("dy", dy, rows, weights.out());
        Shapes.expectFloats("x", x, rows, weights.in());
        Shapes.expectFloats("gated", gated, rows, weights.out());
        Shapes.expectFloats("raised", raised, rows, weights.out());
        Shapes.expectFloatsOrNull("dx", dx, rows, weights.in());
        gradients(frame, "gate", rows, gate);
        gradients(frame, "up", rows, up);
        frame.pointer("dy", dy.address())
                .pointer("x", x.address())
                .pointer("gate", gated.address())
                .pointer("up", raised.address())
                .pointer("dx", Launcher.address(dx));
        launcher.call(launcher.kernels().groupedGatedBackward(), ScratchOp.GROUPED_GATED_BACKWARD, frame);
    }

    private static Frame frame(Frame frame, Activation activation, long rows, Tensor offsets, Side gate, Side up) {
        ExpertWeights weights = gate.weights();
        Shapes.expectInts("offsets", offsets, weights.experts() + 1);
        if (!weights.hasShapeOf(up.weights())) {
            throw new IllegalArgumentException("gate and up differ: " + weights + " and " + up.weights());
        }
        side(frame, "gate", rows, gate);
        side(frame, "up", rows, up);
        return frame.pointer("offsets", offsets.address())
                .int64("rows", rows)
                .int64("in", weights.in())
                .int64("out", weights.out())
                .int64("experts", weights.experts())
                .int32("weight_dtype", weights.dtype().code())
                .int32("activation", activation.ordinal());
    }

    private static void side(Frame frame, String name, long rows, Side side) {
        frame.pointer(name + "_weights", side.weights().addresses().address());
        Products.GroupedLora lora = side.lora();
        if (lora == null) {
            return;
        }
        Shapes.expectFloats(name + " u", side.u(), rows, lora.maxRank());
        frame.pointer(name + "_lora_a", lora.a().address())
                .pointer(name + "_lora_b", lora.b().address())
                .pointer(name + "_ranks", lora.ranks().address())
                .pointer(name + "_scales", lora.scales().address())
                .pointer(name + "_u", side.u().address())
                .int64(name + "_max_rank", lora.maxRank());
    }

    private static void gradients(Frame frame, String name, long rows, Side side) {
        Products.GroupedLora lora = side.lora();
        if (lora == null) {
            return;
        }
        Shapes.expectFloats(name + " v", side.v(), rows, lora.maxRank());
        frame.pointer(name + "_v", side.v().address())
                .pointer(name + "_grad_a", Launcher.address(lora.gradA()))
                .pointer(name + "_grad_b", Launcher.address(lora.gradB()));
    }
}
