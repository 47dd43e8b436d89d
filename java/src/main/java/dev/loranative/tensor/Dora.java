package dev.loranative.tensor;

import dev.loranative.ffi.Frame;
import dev.loranative.ffi.Structs;

/** Weight-decomposed adapters (Liu et al. 2024, arXiv:2402.09353): {@code ln_dora_*}. */
public final class Dora {

    private final Launcher launcher;

    Dora(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * Lengths of the rows of {@code weight + scale * b . a}.
     *
     * @param weight [out, in]
     * @param norms [out], written
     */
    public void norms(Tensor weight, Products.Lora lora, Tensor norms) {
        long out = weight.dimension(0);
        long in = weight.dimension(1);
        Shapes.expectWeight("weight", weight, out, in);
        Shapes.expectFloats("lora a", lora.a(), lora.rank(), in);
        Shapes.expectFloats("lora b", lora.b(), out, lora.rank());
        Shapes.expectElements("norms", norms, out);
        launcher.call(() -> (int) launcher.kernels()
                .doraNorms()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(weight),
                        weight.dtype().code(),
                        Launcher.pointer(lora.a()),
                        Launcher.pointer(lora.b()),
                        lora.scale(),
                        Launcher.pointer(norms),
                        out,
                        in,
                        lora.rank()));
    }

    /**
     * {@code y (+)= magnitude / norms * z + bias}, column by column.
     *
     * @param z [rows, out]
     * @param magnitude out elements
     * @param norms out elements
     * @param bias [out] or null
     * @param y [rows, out]; may be z unless it accumulates
     */
    public void forward(Tensor z, Tensor magnitude, Tensor norms, Tensor bias, Tensor y, boolean accumulate) {
        long rows = z.dimension(0);
        long out = z.dimension(1);
        expectColumns(magnitude, norms, out);
        Shapes.expectFloats("z", z, rows, out);
        Shapes.expectFloats("y", y, rows, out);
        Frame frame = launcher.frame(Structs.DORA_FORWARD)
                .pointer("z", z.address())
                .pointer("magnitude", magnitude.address())
                .pointer("norms", norms.address())
                .pointer("bias", Launcher.address(bias))
                .pointer("y", y.address())
                .int64("rows", rows)
                .int64("out", out)
                .flag("accumulate", accumulate);
        if (bias != null) {
            Shapes.expectWeight("bias", bias, out);
            frame.int32("bias_dtype", bias.dtype().code());
        }
        launcher.call(launcher.kernels().doraForward(), frame);
    }

    /**
     * Backward of {@link #forward}, the norms held constant.
     *
     * @param z what forward was given
     * @param dz [rows, out], written; may be dy or z
     * @param gradMagnitude out elements, added to; null when frozen
     */
    public void backward(Tensor dy, Tensor z, Tensor magnitude, Tensor norms, Tensor dz, Tensor gradMagnitude) {
        long rows = dy.dimension(0);
        long out = dy.dimension(1);
        expectColumns(magnitude, norms, out);
        Shapes.expectFloats("dy", dy, rows, out);
        Shapes.expectFloats("z", z, rows, out);
        Shapes.expectFloats("dz", dz, rows, out);
        if (gradMagnitude != null) {
            Shapes.expectElements("gradMagnitude", gradMagnitude, out);
        }
        Frame frame = launcher.frame(Structs.DORA_BACKWARD)
                .pointer("dy", dy.address())
                .pointer("z", z.address())
                .pointer("magnitude", magnitude.address())
                .pointer("norms", norms.address())
                .pointer("dz", dz.address())
                .pointer("grad_magnitude", Launcher.address(gradMagnitude))
                .int64("rows", rows)
                .int64("out", out);
        launcher.call(launcher.kernels().doraBackward(), frame);
    }

    private static void expectColumns(Tensor magnitude, Tensor norms, long out) {
        Shapes.expectElements("magnitude", magnitude, out);
        Shapes.expectElements("norms", norms, out);
    }
}
