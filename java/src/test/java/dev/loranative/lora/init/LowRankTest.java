package dev.loranative.lora.init;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.random.CounterRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LowRankTest {

    private static final double SCALING = 1.5;
    private static final CounterRandom RANDOM = new CounterRandom(1, 2);
    private final Matrix weight = Matrix.normal(20, 14, RANDOM);

    /** What is left of the weight has the singular values behind the r largest. */
    @ParameterizedTest
    @ValueSource(ints = {0, 200})
    void pissaTakesTheLargestSingularValues(int iterations) {
        LowRank update = LowRank.pissa(weight, 5, SCALING, iterations, new CounterRandom(3, 4));

        double[] all = Svd.exact(weight).s();
        double[] rest = Svd.exact(weight.minus(product(update))).s();
        double[] taken = Svd.exact(product(update)).s();
        for (int i = 0; i < 5; i++) {
            assertThat(taken[i]).isCloseTo(all[i], within(1e-6));
        }
        for (int i = 0; i < 9; i++) {
            assertThat(rest[i]).isCloseTo(all[5 + i], within(1e-6));
        }
        assertThat(SvdTest.largest(update.a().times(update.a().transposed())))
                .as("A and B share the singular values")
                .isCloseTo(all[0] / SCALING, within(1e-6));
    }

    @Test
    void fewIterationsOfPissaAreNotTheExactOne() {
        LowRank exact = LowRank.pissa(weight, 5, SCALING, 0, RANDOM);
        LowRank quick = LowRank.pissa(weight, 5, SCALING, 1, RANDOM);

        double[] rest = Svd.exact(weight.minus(product(quick))).s();

        assertThat(rest[0])
                .isGreaterThan(Svd.exact(weight.minus(product(exact))).s()[0]);
    }

    @Test
    void oloraIsTheFirstPartOfTheQrDecomposition() {
        LowRank update = LowRank.olora(weight, 5);

        Qr whole = Qr.of(weight);
        for (int row = 0; row < 20; row++) {
            for (int k = 0; k < 5; k++) {
                assertThat(update.b().get(row, k)).isCloseTo(whole.q().get(row, k), within(1e-12));
            }
        }
        for (int k = 0; k < 5; k++) {
            for (int column = 0; column < 14; column++) {
                assertThat(update.a().get(k, column)).isCloseTo(whole.r().get(k, column), within(1e-12));
            }
        }
    }

    @Test
    void oloraOfAWideWeight() {
        LowRank update = LowRank.olora(weight.transposed(), 14);

        assertThat(SvdTest.largest(update.b().times(update.a()).minus(weight.transposed())))
                .isLessThan(1e-12);
    }

    @Test
    void orthogonalUpdatesAreZero() {
        LowRank update = LowRank.orthogonal(6, 14, 20, RANDOM, new CounterRandom(2, 1), new CounterRandom(2, 2));

        assertThat(SvdTest.largest(update.b().times(update.a()))).isLessThan(1e-15);
        assertThat(deviation(update.a())).isCloseTo(0.1 / Math.sqrt(2), within(0.03));
        assertThat(deviation(update.b())).isCloseTo(0.1 / Math.sqrt(2), within(0.03));
    }

    /** Rounding to halves stands for a 4-bit type. */
    @Test
    void loftqGivesBackTheLargestPartOfWhatWasLost() {
        LowRank.Loftq once = LowRank.loftq(weight, LowRankTest::halves, 4, SCALING, 1, RANDOM);
        LowRank.Loftq often = LowRank.loftq(weight, LowRankTest::halves, 4, SCALING, 5, RANDOM);

        Matrix lost = weight.minus(halves(weight));
        double[] before = Svd.exact(lost).s();
        double[] after = Svd.exact(lost.minus(product(once.update()))).s();

        assertThat(SvdTest.largest(once.quantised().minus(halves(weight)))).isZero();
        assertThat(after[0]).isCloseTo(before[4], within(1e-9));
        assertThat(norm(weight.minus(often.quantised()).minus(product(often.update()))))
                .as("iterations come nearer")
                .isLessThan(norm(lost.minus(product(once.update()))));
    }

    private static Matrix halves(Matrix matrix) {
        double[] rounded = new double[matrix.values().length];
        for (int i = 0; i < rounded.length; i++) {
            rounded[i] = Math.rint(2 * matrix.values()[i]) / 2;
        }
        return new Matrix(matrix.rows(), matrix.columns(), rounded);
    }

    private static Matrix product(LowRank update) {
        return update.b().times(update.a()).times(SCALING);
    }

    private static double norm(Matrix matrix) {
        double squares = 0;
        for (double value : matrix.values()) {
            squares += value * value;
        }
        return Math.sqrt(squares);
    }

    private static double deviation(Matrix matrix) {
        return norm(matrix) / Math.sqrt(matrix.values().length);
    }
}
