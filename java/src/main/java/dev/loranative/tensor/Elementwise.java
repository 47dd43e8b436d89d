package dev.loranative.tensor;

/** Elementwise kernels: gated activations, sums, casts, clamping, dropout. */
public final class Elementwise {

    private final Launcher launcher;

    Elementwise(Launcher launcher) {
        this.launcher = launcher;
    }

    /** {@code y = activation(gate) * up}; y may be gate or up. */
    public void gatedForward(Activation activation, Tensor gate, Tensor up, Tensor y) {
        Shapes.expectElements("gate", gate, gate.size());
        Shapes.expectElements("up", up, gate.size());
        Shapes.expectElements("y", y, gate.size());
        launcher.call(() -> (int) launcher.kernels()
                .gatedActivationForward()
                .invokeExact(
                        launcher.context(),
                        activation.ordinal(),
                        Launcher.pointer(gate),
                        Launcher.pointer(up),
                        Launcher.pointer(y),
                        gate.size()));
    }

    /** dGate may be gate, dUp may be up or dy. */
    public void gatedBackward(Activation activation, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp) {
        Shapes.expectElements("gate", gate, gate.size());
        Shapes.expectElements("dy", dy, gate.size());
        Shapes.expectElements("up", up, gate.size());
        Shapes.expectElements("dGate", dGate, gate.size());
        Shapes.expectElements("dUp", dUp, gate.size());
        launcher.call(() -> (int) launcher.kernels()
                .gatedActivationBackward()
                .invokeExact(
                        launcher.context(),
                        activation.ordinal(),
                        Launcher.pointer(dy),
                        Launcher.pointer(gate),
                        Launcher.pointer(up),
                        Launcher.pointer(dGate),
                        Launcher.pointer(dUp),
                        gate.size()));
    }

    /**
     * {@code y[t] (+)= sigmoid(gate[t]) * x[t]}.
     *
     * @param x [rows, width]
     * @param gate rows elements
     */
    public void sigmoidGateForward(Tensor x, Tensor gate, Tensor y, boolean accumulate) {
        long rows = x.dimension(0);
        Shapes.expectFloats("x", x, rows, x.dimension(1));
        Shapes.expectElements("gate", gate, rows);
        Shapes.expectFloats("y", y, x.shape());
        launcher.call(() -> (int) launcher.kernels()
                .sigmoidGateForward()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(x),
                        Launcher.pointer(gate),
                        Launcher.pointer(y),
                        rows,
                        x.dimension(1),
                        accumulate ? 1 : 0));
    }

    /** dx may be x. */
    public void sigmoidGateBackward(Tensor dy, Tensor x, Tensor gate, Tensor dx, Tensor dGate) {
        long rows = x.dimension(0);
        Shapes.expectFloats("x", x, rows, x.dimension(1));
        Shapes.expectFloats("dy", dy, x.shape());
        Shapes.expectFloats("dx", dx, x.shape());
        Shapes.expectElements("gate", gate, rows);
        Shapes.expectElements("dGate", dGate, rows);
        launcher.call(() -> (int) launcher.kernels()
                .sigmoidGateBackward()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(dy),
                        Launcher.pointer(x),
                        Launcher.pointer(gate),
                        Launcher.pointer(dx),
                        Launcher.pointer(dGate),
                        rows,
                        x.dimension(1)));
    }

    /** {@code y = alpha * x + beta * y}; beta 0 does not read y. */
    public void axpby(float alpha, Tensor x, float beta, Tensor y) {
        Shapes.expectElements("x", x, y.size());
        Shapes.expectElements("y", y, y.size());
        launcher.call(() -> (int) launcher.kernels()
                .axpby()
                .invokeExact(launcher.context(), alpha, Launcher.pointer(x), beta, Launcher.pointer(y), y.size()));
    }

    public void add(Tensor x, Tensor y) {
        axpby(1, x, 1, y);
    }

    public void copy(Tensor x, Tensor y) {
        axpby(1, x, 0, y);
    }

    /** Converts between float types. */
    public void cast(Tensor source, Tensor target) {
        if (source.size() != target.size()) {
            throw new IllegalArgumentException(source + " and " + target + " differ in size");
        }
        launcher.call(() -> (int) launcher.kernels()
                .cast()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(source),
                        source.dtype().code(),
                        Launcher.pointer(target),
                        target.dtype().code(),
                        source.size()));
    }

    /** x limited to [-limit, limit], in place. */
    public void clampForward(Tensor x, float limit) {
        Shapes.expectElements("x", x, x.size());
        launcher.call(() -> (int) launcher.kernels()
                .clampForward()
                .invokeExact(launcher.context(), Launcher.pointer(x), x.size(), limit));
    }

    /** @param y the clamped values; dy is changed in place */
    public void clampBackward(Tensor y, Tensor dy, float limit) {
        Shapes.expectElements("y", y, y.size());
        Shapes.expectElements("dy", dy, y.size());
        launcher.call(() -> (int) launcher.kernels()
                .clampBackward()
                .invokeExact(launcher.context(), Launcher.pointer(y), Launcher.pointer(dy), y.size(), limit));
    }

    /**
     * Inverted dropout whose mask depends on (seed, stream, element) alone: the same call on gradients is the backward
     * pass.
     *
     * @param y may be x
     */
    public void dropout(Tensor x, Tensor y, float p, long seed, long stream, boolean accumulate) {
        Shapes.expectElements("x", x, x.size());
        Shapes.expectElements("y", y, x.size());
        launcher.call(() -> (int) launcher.kernels()
                .dropout()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(x),
                        Launcher.pointer(y),
                        x.size(),
                        p,
                        seed,
                        stream,
                        accumulate ? 1 : 0));
    }
}
