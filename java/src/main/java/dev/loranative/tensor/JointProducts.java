package dev.loranative.tensor;

import dev.loranative.ffi.Frame;
import dev.loranative.ffi.NativeStruct;
import dev.loranative.ffi.Structs;
import java.lang.invoke.MethodHandle;
import java.util.List;

/** Linear layers that read the same input as one op: {@code ln_joint_linear_*}. */
public final class JointProducts {

    /** Layers of one call at most. */
    public static final int MOST_LAYERS = Structs.JOINT_LAYERS;

    private final Launcher launcher;

    JointProducts(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * A layer of the forward pass.
     *
     * @param weight [out, in]
     * @param bias [out] or null
     * @param lora null for none
     * @param u [rows, rank], written; null without adapter
     * @param y [rows, out], written
     */
    public record Forward(Tensor weight, Tensor bias, Products.Lora lora, Tensor u, Tensor y) {}

    /**
     * A layer of the backward pass.
     *
     * @param dy [rows, out]
     * @param u of the forward pass
     * @param v [rows, rank], working memory; null without adapter
     */
    public record Backward(Tensor dy, Tensor weight, Products.Lora lora, Tensor u, Tensor v) {}

    /**
     * {@link Products#linearForward} of every layer, x being what its adapter sees.
     *
     * @param x [rows, in]
     * @param layers 1 to {@link #MOST_LAYERS}
     */
    public void forward(Tensor x, List<Forward> layers) {
        List<Frame> frames = frames(Structs.LINEAR_FORWARD, layers);
        for (int i = 0; i < layers.size(); i++) {
            Forward layer = layers.get(i);
            Products.fillForward(
                    frames.get(i), x, null, layer.weight(), layer.bias(), layer.lora(), layer.u(), layer.y());
        }
        call(
                launcher.kernels().jointLinearForward(),
                ScratchOp.JOINT_LINEAR_FORWARD,
                Structs.JOINT_LINEAR_FORWARD,
                frames,
                layers.size());
    }

    /**
     * Backward of {@link #forward} with frozen weights and biases; adapters' gradients accumulate.
     *
     * @param x what forward was given
     * @param layers 1 to {@link #MOST_LAYERS}
     * @param dx [rows, in], the sum over the layers; null when the input needs no gradient
     * @param accumulate dx += instead of dx =
     */
    public void backward(Tensor x, List<Backward> layers, Tensor dx, boolean accumulate) {
        List<Frame> frames = frames(Structs.LINEAR_BACKWARD, layers);
        for (int i = 0; i < layers.size(); i++) {
            Backward layer = layers.get(i);
            Products.fillBackward(
                    frames.get(i),
                    layer.dy(),
                    x,
                    null,
                    layer.weight(),
                    layer.lora(),
                    layer.u(),
                    layer.v(),
                    dx,
                    null,
                    accumulate);
        }
        call(
                launcher.kernels().jointLinearBackward(),
                ScratchOp.JOINT_LINEAR_BACKWARD,
                Structs.JOINT_LINEAR_BACKWARD,
                frames,
                layers.size());
    }

    private List<Frame> frames(NativeStruct struct, List<?> layers) {
        if (layers.isEmpty() || layers.size() > MOST_LAYERS) {
            throw new IllegalArgumentException(layers.size() + " layers, must be 1 to " + MOST_LAYERS);
        }
        return launcher.jointFrames(struct);
    }

    private void call(MethodHandle kernel, ScratchOp op, NativeStruct struct, List<Frame> layers, int count) {
        Frame frame = launcher.frame(struct)
                .pointer("layers", layers.getFirst().memory().address())
                .int64("count", count);
        launcher.call(kernel, op, frame);
    }
}
