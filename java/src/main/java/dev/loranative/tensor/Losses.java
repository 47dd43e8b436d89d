package dev.loranative.tensor;

import dev.loranative.ffi.Frame;
import dev.loranative.ffi.Structs;

/** Cross-entropy, sums and the optimizer. */
public final class Losses {

    private final Launcher launcher;

    Losses(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * @param logits [rows, vocabulary]; replaced by gradientScale * d loss / d logits when wanted
     * @param labels I32 [rows], -100 ignored
     * @param losses [rows]
     */
    public void crossEntropy(Tensor logits, Tensor labels, Tensor losses, float gradientScale, boolean wantGradient) {
        long rows = logits.dimension(0);
        Shapes.expectFloats("logits", logits, rows, logits.dimension(1));
        Shapes.expectInts("labels", labels, rows);
        Shapes.expectFloats("losses", losses, rows);
        launcher.call(() -> (int) launcher.kernels()
                .crossEntropy()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(logits),
                        Launcher.pointer(labels),
                        Launcher.pointer(losses),
                        rows,
                        logits.dimension(1),
                        gradientScale,
                        wantGradient ? 1 : 0));
    }

    /** @param result F64 [1] */
    public void sum(Tensor x, Tensor result) {
        Shapes.expectElements("x", x, x.size());
        Shapes.expect("result", result, DType.F64, 1);
        launcher.call(() -> (int) launcher.kernels()
                .sum()
                .invokeExact(launcher.context(), Launcher.pointer(x), x.size(), Launcher.pointer(result)));
    }

    /** @param result F64 [1] */
    public void sumOfSquares(Tensor x, Tensor result) {
        Shapes.expectElements("x", x, x.size());
        Shapes.expect("result", result, DType.F64, 1);
        launcher.call(() -> (int) launcher.kernels()
                .sumOfSquares()
                .invokeExact(launcher.context(), Launcher.pointer(x), x.size(), Launcher.pointer(result)));
    }

    /** {@code result[c] += sum of column c}; x [rows, columns], result [columns]. */
    public void columnSums(Tensor x, Tensor result) {
        Shapes.expectFloats("x", x, x.dimension(0), x.dimension(1));
        Shapes.expectFloats("result", result, x.dimension(1));
        launcher.call(() -> (int) launcher.kernels()
                .columnSums()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(x),
                        Launcher.pointer(result),
                        x.dimension(0),
                        x.dimension(1)));
    }

    /**
     * What a step multiplies its gradients by, so that their norm is at most {@code maxNorm}; NaN where any sum is not
     * finite, which makes of the step of {@link #adamW} none.
     *
     * @param sums F64, the first of them the sum of the gradients' squares
     * @param maxNorm 0 for no limit
     * @param scale [1]
     */
    public void gradientScale(Tensor sums, double maxNorm, Tensor scale) {
        Shapes.expect("sums", sums, DType.F64, sums.size());
        Shapes.expectFloats("scale", scale, 1);
        launcher.call(() -> (int) launcher.kernels()
                .gradientScale()
                .invokeExact(
                        launcher.context(), Launcher.pointer(sums), sums.size(), maxNorm, Launcher.pointer(scale)));
    }

    /**
     * Hyper-parameters of one AdamW step.
     *
     * @param gradientScale [1], a factor of the gradients, not finite for no step; null for 1
     * @param step counts from 1
     */
    public record AdamW(
            Tensor gradientScale,
            long step,
            double learningRate,
            double beta1,
            double beta2,
            double epsilon,
            double weightDecay) {}

    /** All tensors F32 with as many elements. */
    public void adamW(Tensor parameters, Tensor gradients, Tensor firstMoments, Tensor secondMoments, AdamW step) {
        long n = parameters.size();
        Shapes.expectElements("parameters", parameters, n);
        Shapes.expectElements("gradients", gradients, n);
        Shapes.expectElements("firstMoments", firstMoments, n);
        Shapes.expectElements("secondMoments", secondMoments, n);
        Frame frame = launcher.frame(Structs.ADAMW)
                .pointer("parameters", parameters.address())
                .pointer("gradients", gradients.address())
                .pointer("first_moments", firstMoments.address())
                .pointer("second_moments", secondMoments.address());
        launcher.call(launcher.kernels().adamW(), settings(frame, n, step));
    }

    /** Elements of 8-bit moments that share a scale. */
    public static final int MOMENT_BLOCK = 256;

    /**
     * Moments in 8 bits, states that {@code ln_adamw_8bit} describes.
     *
     * @param first U8 [n], of the first moments
     * @param firstScales F32 [ceil(n / {@link #MOMENT_BLOCK})]
     * @param second U8 [n]
     * @param secondScales F32 [ceil(n / {@link #MOMENT_BLOCK})]
     */
    public record EightBits(Tensor first, Tensor firstScales, Tensor second, Tensor secondScales) {}

    /** As {@link #adamW(Tensor, Tensor, Tensor, Tensor, AdamW)}, with moments in 8 bits. */
    public void adamW(Tensor parameters, Tensor gradients, EightBits moments, AdamW step) {
        long n = parameters.size();
        long blocks = Math.ceilDiv(n, MOMENT_BLOCK);
        Shapes.expectElements("parameters", parameters, n);
        Shapes.expectElements("gradients", gradients, n);
        Shapes.expect("first", moments.first(), DType.U8, n);
        Shapes.expectElements("firstScales", moments.firstScales(), blocks);
        Shapes.expect("second", moments.second(), DType.U8, n);
        Shapes.expectElements("secondScales", moments.secondScales(), blocks);
        Frame frame = launcher.frame(Structs.ADAMW_8BIT)
                .pointer("parameters", parameters.address())
                .pointer("gradients", gradients.address())
                .pointer("first_moments", moments.first().address())
                .pointer("second_moments", moments.second().address())
                .pointer("first_absmax", moments.firstScales().address())
                .pointer("second_absmax", moments.secondScales().address());
        launcher.call(launcher.kernels().adamW8Bit(), settings(frame, n, step));
    }

    private static Frame settings(Frame frame, long n, AdamW step) {
        Shapes.expectFloatsOrNull("gradientScale", step.gradientScale(), 1);
        return frame.pointer("gradient_scale", Launcher.address(step.gradientScale()))
                .int64("n", n)
                .int64("step", step.step())
                .float64("learning_rate", step.learningRate())
                .float64("beta1", step.beta1())
                .float64("beta2", step.beta2())
                .float64("epsilon", step.epsilon())
                .float64("weight_decay", step.weightDecay());
    }
}
