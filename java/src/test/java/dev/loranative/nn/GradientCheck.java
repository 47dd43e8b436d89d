package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.tensor.Tensor;
import java.util.function.DoubleSupplier;

/**
 * Compares a gradient g with differences of the loss along random directions d: {@code loss(v + t d)' = <g, d>}.
 * Errors are measured against |g|, the usual size of {@code <g, d>} for directions of independent normal elements.
 *
 * @param loss computes the loss anew from the tensors as they are
 * @param step t of the four-point formula, whose error is of the order of t^4
 * @param tolerance error allowed for a gradient of norm 1
 * @param rounding error allowed besides, for the float32 of the loss divided by the step
 */
public record GradientCheck(Workbench bench, DoubleSupplier loss, double step, double tolerance, double rounding) {

    private static final int DIRECTIONS = 3;

    /** For smooth functions of ordinary size in float32. */
    public static GradientCheck smooth(Workbench bench, DoubleSupplier loss) {
        return new GradientCheck(bench, loss, 1e-2, 1e-3, 0);
    }

    /** @param gradient of the loss with respect to value, which is left as it was */
    public void check(String name, Tensor value, float[] gradient) {
        float[] before = bench.read(value);
        assertThat(gradient).as("gradient of " + name).hasSameSizeAs(before);
        double norm = Math.sqrt(dot(gradient, gradient));
        assertThat(norm).as("norm of the gradient of " + name).isPositive();
        for (int i = 0; i < DIRECTIONS; i++) {
            float[] direction = bench.bench().normal(before.length);
            double near = at(value, before, direction, step) - at(value, before, direction, -step);
            double far = at(value, before, direction, 2 * step) - at(value, before, direction, -2 * step);
            double difference = (8 * near - far) / (12 * step);
            assertThat(dot(gradient, direction) / norm)
                    .as("derivative of the loss along a direction of " + name + ", over the norm of its gradient")
                    .isCloseTo(difference / norm, within(tolerance + rounding / norm));
        }
        value.copyFrom(bench.device(), before);
    }

    private double at(Tensor value, float[] before, float[] direction, double t) {
        float[] moved = new float[before.length];
        for (int i = 0; i < moved.length; i++) {
            moved[i] = (float) (before[i] + t * direction[i]);
        }
        value.copyFrom(bench.device(), moved);
        return loss.getAsDouble();
    }

    public static double dot(float[] x, float[] y) {
        double sum = 0;
        for (int i = 0; i < x.length; i++) {
            sum += (double) x[i] * y[i];
        }
        return sum;
    }
}
