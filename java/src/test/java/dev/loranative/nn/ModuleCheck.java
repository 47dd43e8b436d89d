package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.Arrays;
import java.util.function.DoubleSupplier;
import java.util.function.Supplier;

/**
 * The law of a module with one input and one output: its backward pass is the derivative of its forward pass, for the
 * input and for every adapter made on the bench; parameter gradients accumulate; the slab is left as it was found; a
 * forward pass that keeps nothing gives the same output.
 */
final class ModuleCheck {

    @FunctionalInterface
    interface Forward {
        void run(Pass pass, Tensor x, Tensor y);
    }

    @FunctionalInterface
    interface Backward {
        void run(Pass pass, Tensor dy, Tensor x, Tensor dx, boolean accumulate);
    }

    private final Workbench bench;
    private final Forward forward;
    private final Backward backward;
    private final Tensor x;
    private final long width;
    private final float[] weights;
    private Supplier<Pass> passes;
    private double step = 1e-2;
    private double tolerance = 1e-3;
    private boolean accumulates = true;
    private DoubleSupplier extraLoss = () -> 0;

    /** @param width columns of the output; the loss is a random weighted sum of it */
    ModuleCheck(Workbench bench, Tensor x, long width, Forward forward, Backward backward) {
        this.bench = bench;
        this.x = x;
        this.width = width;
        this.forward = forward;
        this.backward = backward;
        this.weights = bench.bench().normal(x.dimension(0) * width);
        this.passes = () -> Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, null, null);
    }

    ModuleCheck passes(Supplier<Pass> supplier) {
        this.passes = supplier;
        return this;
    }

    ModuleCheck accuracy(double newStep, double newTolerance) {
        this.step = newStep;
        this.tolerance = newTolerance;
        return this;
    }

    /** For a module that can only write its input gradient. */
    ModuleCheck withoutAccumulation() {
        this.accumulates = false;
        return this;
    }

    /** A part of the loss that the module's forward pass leaves elsewhere than in its output. */
    ModuleCheck plus(DoubleSupplier part) {
        this.extraLoss = part;
        return this;
    }

    void run() {
        float[] dx = gradients();
        GradientCheck check = new GradientCheck(bench, this::loss, step, tolerance, 0);
        check.check("x", x, dx);
        for (Parameter parameter : bench.parameters()) {
            check.check(parameter.name(), parameter.value(), bench.read(parameter.gradient()));
        }
        parameterGradientsAccumulate();
        gradientsWithoutInputGradientAreTheSame();
        if (accumulates) {
            inputGradientAccumulates(dx);
        }
        nothingIsKeptWithoutSaving();
    }

    private double loss() {
        Slab slab = bench.slab();
        long start = slab.mark();
        Tensor y = bench.bench().unwritten(x.dimension(0), width);
        forward.run(passes.get(), x, y);
        double extra = extraLoss.getAsDouble();
        slab.release(start);
        return GradientCheck.dot(bench.read(y), weights) + extra;
    }

    /** Clears the parameters' gradients and computes all; returns that of x. */
    private float[] gradients() {
        bench.parameters().forEach(parameter -> bench.ops().clear(parameter.gradient()));
        Tensor dx = bench.bench().unwritten(x.shape());
        backward(dx, false);
        return bench.read(dx);
    }

    private void backward(Tensor dx, boolean accumulate) {
        Slab slab = bench.slab();
        long start = slab.mark();
        Pass pass = passes.get();
        forward.run(pass, x, bench.bench().unwritten(x.dimension(0), width));
        long kept = slab.mark();
        backward.run(pass, bench.bench().floats(weights, x.dimension(0), width), x, dx, accumulate);
        assertThat(slab.mark()).as("slab after the backward pass").isEqualTo(kept);
        slab.release(start);
    }

    private void parameterGradientsAccumulate() {
        gradients();
        float[][] once = parameterGradients();
        backward(bench.bench().unwritten(x.shape()), false);
        float[][] twice = parameterGradients();
        for (int i = 0; i < once.length; i++) {
            for (int j = 0; j < once[i].length; j++) {
                assertThat((double) twice[i][j])
                        .as(bench.parameters().get(i).name() + " accumulates")
                        .isCloseTo(2 * once[i][j], within(1e-4 * (1 + Math.abs(once[i][j]))));
            }
        }
    }

    private void gradientsWithoutInputGradientAreTheSame() {
        gradients();
        float[][] expected = parameterGradients();
        bench.parameters().forEach(parameter -> bench.ops().clear(parameter.gradient()));
        backward(null, false);
        assertThat(parameterGradients()).as("gradients when nobody needs dx").isDeepEqualTo(expected);
    }

    private void inputGradientAccumulates(float[] dx) {
        float[] before = bench.bench().normal(dx.length);
        Tensor added = bench.bench().floats(before, x.shape());
        backward(added, true);
        float[] sum = bench.read(added);
        for (int i = 0; i < dx.length; i++) {
            assertThat((double) sum[i])
                    .as("dx[" + i + "] accumulates")
                    .isCloseTo((double) before[i] + dx[i], within(1e-4 * (1 + Math.abs(dx[i]))));
        }
    }

    private void nothingIsKeptWithoutSaving() {
        Slab slab = bench.slab();
        Pass saving = passes.get();
        long start = slab.mark();
        Tensor kept = bench.bench().unwritten(x.dimension(0), width);
        forward.run(saving, x, kept);
        slab.release(start);
        Pass pass = passes.get();
        start = slab.mark();
        Tensor plain = bench.bench().unwritten(x.dimension(0), width);
        pass.withoutSaving(() -> forward.run(pass, x, plain));
        assertThat(slab.mark()).as("slab after a pass that keeps nothing").isEqualTo(start);
        assertThat(bench.read(plain)).isEqualTo(bench.read(kept));
        assertThat(pass.saving()).isTrue();
    }

    private float[][] parameterGradients() {
        return bench.parameters().stream()
                .map(parameter -> Arrays.copyOf(bench.read(parameter.gradient()), (int)
                        parameter.gradient().size()))
                .toArray(float[][]::new);
    }
}
