package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.device.SimdTier;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import dev.loranative.tensor.cases.OpRun;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every backward pass of the table is the derivative of its forward pass as the kernels compute it: for random
 * directions d of an input v, the loss {@code <dy, y>} has the derivative {@code <gradient, d>}.
 */
class OpGradientsTest {

    /** t of the four-point formula, whose error is of the order of t^4; the rest is float32's rounding over t. */
    private static final double STEP = 2e-2;

    private static final double TOLERANCE = 2e-3;
    private static final int DIRECTIONS = 2;

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void derivatives(SimdTier tier) {
        int checked = 0;
        for (OpCase opCase : OpCases.of(OpCase.Use.CHECK)) {
            try (Bench bench = new Bench(tier, 1)) {
                OpRun run = opCase.on(bench);
                if (run.derivative().isPresent()) {
                    check(opCase.name(), bench, run, run.derivative().get());
                    checked++;
                }
            }
        }
        assertThat(checked).as("backward passes that have a forward pass").isGreaterThan(80);
    }

    private static void check(String name, Bench bench, OpRun run, OpRun.Derivative derivative) {
        List<float[]> before = new ArrayList<>();
        List<float[]> gradients = new ArrayList<>();
        for (OpRun.Input input : derivative.inputs()) {
            before.add(bench.read(input.value()));
            gradients.add(bench.read(input.gradient()));
        }
        run.run();
        for (int i = 0; i < before.size(); i++) {
            OpRun.Input input = derivative.inputs().get(i);
            float[] gradient = bench.read(input.gradient());
            for (int j = 0; input.accumulates() && j < gradient.length; j++) {
                gradient[j] -= gradients.get(i)[j];
            }
            gradients.set(i, gradient);
        }
        // A gradient may have taken the place of an input.
        for (int i = 0; i < before.size(); i++) {
            derivative.inputs().get(i).value().copyFrom(bench.device(), before.get(i));
        }
        for (int i = 0; i < before.size(); i++) {
            Tensor value = derivative.inputs().get(i).value();
            check(name + ": " + derivative.inputs().get(i).name(), bench, derivative, value, gradients.get(i));
            value.copyFrom(bench.device(), before.get(i));
        }
    }

    private static void check(String name, Bench bench, OpRun.Derivative derivative, Tensor value, float[] gradient) {
        float[] before = bench.read(value);
        double norm = Math.sqrt(dot(gradient, gradient));
        assertThat(norm).as(name + ": norm of the gradient").isPositive();
        for (int i = 0; i < DIRECTIONS; i++) {
            float[] direction = bench.normal(before.length);
            double near = loss(bench, derivative, value, before, direction, STEP)
                    - loss(bench, derivative, value, before, direction, -STEP);
            double far = loss(bench, derivative, value, before, direction, 2 * STEP)
                    - loss(bench, derivative, value, before, direction, -2 * STEP);
            assertThat(dot(gradient, direction) / norm)
                    .as(name + ": derivative along a direction, over the norm of the gradient")
                    .isCloseTo((8 * near - far) / (12 * STEP) / norm, within(TOLERANCE));
        }
    }

    private static double loss(
            Bench bench, OpRun.Derivative derivative, Tensor value, float[] before, float[] direction, double t) {
        float[] moved = new float[before.length];
        for (int i = 0; i < moved.length; i++) {
            moved[i] = (float) (before[i] + t * direction[i]);
        }
        value.copyFrom(bench.device(), moved);
        derivative.forward().run();
        return dot(bench.read(derivative.y()), bench.read(derivative.dy()));
    }

    private static double dot(float[] x, float[] y) {
        double sum = 0;
        for (int i = 0; i < x.length; i++) {
            sum += (double) x[i] * y[i];
        }
        return sum;
    }
}
