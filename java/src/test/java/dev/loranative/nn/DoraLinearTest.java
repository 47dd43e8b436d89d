package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The lengths of the rows count as constants in DoRA's backward pass, so its gradients for A and B are no derivatives of
 * its output. Therefore A and B are checked against the formula in double precision, with and without dropout; the
 * magnitude, which the lengths do not depend on, and the input are checked by differences too.
 */
class DoraLinearTest {

    private static final int ROWS = 9;
    private static final int IN = 21;
    private static final int OUT = 13;
    private static final int RANK = 4;
    private static final double SCALE = 0.75;

    private final Workbench bench = new Workbench();

    @AfterEach
    void close() {
        bench.close();
    }

    @ParameterizedTest
    @ValueSource(floats = {0, 0.4f})
    void magnitudeAndInputHaveTheirDerivatives(float dropout) {
        DoraLinear linear = bench.decomposed("linear", bench.biased(IN, OUT), RANK, dropout);
        bench.parameters().remove(0);
        bench.parameters().remove(0);

        new ModuleCheck(bench, bench.normal(1, ROWS, IN), OUT, linear::forward, linear::backward)
                .passes(() -> pass(dropout))
                .run();

        assertThat(linear.isTrainable()).isTrue();
        assertThat(linear.in()).isEqualTo(IN);
        assertThat(linear.out()).isEqualTo(OUT);
    }

    @ParameterizedTest
    @ValueSource(floats = {0, 0.4f})
    void outputAndGradientsFollowTheFormula(float dropout) {
        DenseLinear base = bench.biased(IN, OUT);
        DoraLinear linear = bench.decomposed("linear", base, RANK, dropout);
        Parameter a = bench.parameters().get(0);
        Parameter b = bench.parameters().get(1);
        Parameter magnitude = bench.parameters().get(2);
        Tensor x = bench.normal(1, ROWS, IN);
        float[] dy = bench.bench().normal(ROWS * OUT);
        Tensor y = bench.bench().unwritten(ROWS, OUT);
        Tensor dx = bench.bench().unwritten(ROWS, IN);
        Pass pass = pass(dropout);
        linear.forward(pass, x, y);
        linear.backward(pass, bench.bench().floats(dy, ROWS, OUT), x, dx, false);

        double[][] seen = dropped(linear, x, dropout);
        Formula formula = new Formula(
                rows(base.weight()), rows(a.value()), rows(b.value()), rows(magnitude.value())[0], rows(x), seen);
        double[] bias = rows(base.bias().reshape(1, OUT))[0];
        double[][] gradients = new double[RANK + OUT][];
        for (int k = 0; k < RANK; k++) {
            gradients[k] = new double[IN];
        }
        for (int o = 0; o < OUT; o++) {
            gradients[RANK + o] = new double[RANK];
        }
        float[] out = bench.read(y);
        for (int t = 0; t < ROWS; t++) {
            for (int o = 0; o < OUT; o++) {
                assertThat((double) out[t * OUT + o]).isCloseTo(formula.output(t, o) + bias[o], within(1e-4));
                formula.addGradients(t, o, dy[t * OUT + o], gradients);
            }
        }
        assertClose(bench.read(a.gradient()), gradients, 0, RANK, IN);
        assertClose(bench.read(b.gradient()), gradients, RANK, OUT, RANK);
    }

    /** With magnitudes that are the rows' lengths DoRA is LoRA. */
    @Test
    void beginsAsTheAdaptedLayer() {
        DenseLinear base = bench.biased(IN, OUT);
        DoraLinear linear = bench.decomposed("linear", base, RANK, 0);
        Products.Lora lora = new Products.Lora(
                bench.parameters().get(0).value(), bench.parameters().get(1).value(), null, null, (float) SCALE);
        bench.ops().dora().norms(base.weight(), lora, bench.parameters().get(2).value());
        Tensor x = bench.normal(1, ROWS, IN);
        Tensor y = bench.bench().unwritten(ROWS, OUT);
        Tensor expected = bench.bench().unwritten(ROWS, OUT);

        linear.forward(pass(0), x, y);
        new LoraLinear(base, lora, new AdapterDropout(0, 1)).forward(pass(0), x, expected);

        float[] want = bench.read(expected);
        float[] have = bench.read(y);
        for (int i = 0; i < want.length; i++) {
            assertThat(have[i]).isCloseTo(want[i], within(1e-5f));
        }
    }

    @Test
    void aFrozenAdapterIsMeasuredOnce() {
        DenseLinear base = bench.dense(IN, OUT);
        bench.decomposed("linear", base, RANK, 0);
        Tensor a = bench.parameters().get(0).value();
        Tensor norms = Tensor.allocate(bench.device(), DType.F32, OUT);
        Products.Lora lora = new Products.Lora(a, bench.parameters().get(1).value(), null, null, (float) SCALE);
        Parameter magnitude = new Parameter("m", bench.parameters().get(2).value(), null);
        DoraLinear linear = new DoraLinear(base, lora, magnitude, new AdapterDropout(0, 1), norms);
        Tensor x = bench.normal(1, ROWS, IN);
        Tensor y = bench.bench().unwritten(ROWS, OUT);
        bench.ops().plan(() -> linear.forward(pass(0), x, y));
        assertThat(bench.read(norms)).containsOnly(0);

        linear.forward(pass(0), x, y);
        float[] measured = bench.read(norms);
        bench.ops().clear(a);
        linear.forward(pass(0), x, y);

        assertThat(linear.isTrainable()).isFalse();
        assertThat(measured).doesNotContain(0);
        assertThat(bench.read(norms)).isEqualTo(measured);
        linear.backward(pass(0), y, x, null, false);
    }

    @Test
    void refusesNormsOfAnotherSize() {
        DenseLinear base = bench.dense(IN, OUT);
        bench.decomposed("linear", base, RANK, 0);
        Parameter magnitude = bench.parameters().get(2);

        assertThatThrownBy(() ->
                        new DoraLinear(base, null, magnitude, null, Tensor.allocate(bench.device(), DType.F32, 3)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("norms are F32[3], must have 13 elements");
    }

    /** PEFT's formula for one input, everything in double. */
    private record Formula(
            double[][] weight, double[][] a, double[][] b, double[] magnitude, double[][] x, double[][] seen) {

        double output(int t, int o) {
            double plain = dot(weight[o], x[t]);
            double factor = magnitude[o] / norm(o);
            return plain + (factor - 1) * dot(weight[o], seen[t]) + factor * update(t, o);
        }

        private double update(int t, int o) {
            double sum = 0;
            for (int k = 0; k < a.length; k++) {
                sum += b[o][k] * dot(a[k], seen[t]);
            }
            return SCALE * sum;
        }

        double norm(int o) {
            double squares = 0;
            for (int i = 0; i < weight[o].length; i++) {
                double value = weight[o][i];
                for (int k = 0; k < a.length; k++) {
                    value += SCALE * b[o][k] * a[k][i];
                }
                squares += value * value;
            }
            return Math.sqrt(squares);
        }

        void addGradients(int t, int o, double dy, double[][] gradients) {
            double factor = SCALE * magnitude[o] / norm(o) * dy;
            for (int k = 0; k < a.length; k++) {
                for (int i = 0; i < x[t].length; i++) {
                    gradients[k][i] += factor * b[o][k] * seen[t][i];
                }
                gradients[a.length + o][k] += factor * dot(a[k], seen[t]);
            }
        }

        private static double dot(double[] p, double[] q) {
            double sum = 0;
            for (int i = 0; i < p.length; i++) {
                sum += p[i] * q[i];
            }
            return sum;
        }
    }

    private Pass pass(float dropout) {
        DropoutStreams streams = dropout == 0 ? null : Workbench.dropoutStreams();
        return Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, streams, null);
    }

    /** What the adapter sees: x after the mask that this module draws. */
    private double[][] dropped(DoraLinear linear, Tensor x, float dropout) {
        if (dropout == 0) {
            return rows(x);
        }
        return rows(new AdapterDropout(dropout, bench.parameters().size()).apply(pass(dropout), x));
    }

    private double[][] rows(Tensor matrix) {
        float[] values = bench.read(matrix);
        int columns = (int) matrix.dimension(1);
        double[][] rows = new double[values.length / columns][columns];
        for (int i = 0; i < values.length; i++) {
            rows[i / columns][i % columns] = values[i];
        }
        return rows;
    }

    private static void assertClose(float[] actual, double[][] expected, int first, int rows, int columns) {
        for (int i = 0; i < rows * columns; i++) {
            assertThat((double) actual[i]).isCloseTo(expected[first + i / columns][i % columns], within(2e-4));
        }
    }
}
