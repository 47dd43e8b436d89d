package dev.loranative.lora.init;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.random.CounterRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SvdTest {

    private static final CounterRandom RANDOM = new CounterRandom(1, 2);

    @ParameterizedTest
    @CsvSource({"1, 1", "5, 5", "12, 7", "7, 12", "40, 33", "3, 1", "1, 3"})
    void exactDecompositionsAreTheMatrixAgain(int rows, int columns) {
        Matrix matrix = Matrix.normal(rows, columns, RANDOM);

        Svd svd = Svd.exact(matrix);

        assertThat(largest(rebuilt(svd).minus(matrix))).isLessThan(1e-12);
        assertOrthonormal(svd.u());
        assertOrthonormal(svd.v());
        assertFalling(svd.s());
    }

    @Test
    void aMatrixOfLowRankHasZerosBehind() {
        Matrix matrix = Matrix.normal(9, 2, RANDOM).times(Matrix.normal(2, 8, new CounterRandom(3, 4)));

        Svd svd = Svd.exact(matrix);

        assertThat(svd.s()[1]).isGreaterThan(0.1);
        assertThat(svd.s()[2]).isLessThan(1e-12);
        assertThat(largest(rebuilt(svd).minus(matrix))).isLessThan(1e-12);
    }

    /** Large enough for subspace iteration; singular values 1, 1/2, 1/3, … */
    @ParameterizedTest
    @CsvSource({"300, 250", "250, 300"})
    void theLargestPartIsThatOfTheWholeDecomposition(int rows, int columns) {
        int smaller = Math.min(rows, columns);
        double[] values = new double[smaller];
        for (int i = 0; i < smaller; i++) {
            values[i] = 1.0 / (1 + i);
        }
        Matrix u = Qr.of(Matrix.normal(rows, smaller, RANDOM)).q();
        Matrix v =
                Qr.of(Matrix.normal(columns, smaller, new CounterRandom(5, 6))).q();
        Matrix matrix = u.timesColumns(values).times(v.transposed());

        Svd svd = Svd.truncated(matrix, 8, new CounterRandom(7, 8));

        assertThat(svd.s()).hasSize(8);
        for (int k = 0; k < 8; k++) {
            assertThat(svd.s()[k]).isCloseTo(values[k], within(1e-9));
            assertThat(Math.abs(dotOfColumns(svd.u(), u, k))).isCloseTo(1, within(1e-6));
            assertThat(Math.abs(dotOfColumns(svd.v(), v, k))).isCloseTo(1, within(1e-6));
        }
    }

    @Test
    void fewIterationsComeNear() {
        Matrix matrix = Matrix.normal(60, 6, RANDOM).times(Matrix.normal(6, 50, new CounterRandom(3, 4)));

        Svd svd = Svd.iterated(matrix, 6, 2, new CounterRandom(9, 1));

        assertThat(largest(rebuilt(svd).minus(matrix))).isLessThan(1e-9);
        assertThat(svd.s()[0]).isCloseTo(Svd.exact(matrix).s()[0], within(1e-9));
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "5, 5", "12, 7", "9, 1"})
    void qr(int rows, int columns) {
        Matrix matrix = Matrix.normal(rows, columns, RANDOM);

        Qr qr = Qr.of(matrix);

        assertThat(largest(qr.q().times(qr.r()).minus(matrix))).isLessThan(1e-13);
        assertOrthonormal(qr.q());
        for (int i = 1; i < columns; i++) {
            for (int j = 0; j < i; j++) {
                assertThat(qr.r().get(i, j)).isZero();
            }
        }
    }

    @Test
    void qrOfDependentColumns() {
        Matrix matrix = new Matrix(3, 2, new double[] {1, 2, 2, 4, 2, 4});

        Qr qr = Qr.of(matrix);

        assertThat(largest(qr.q().times(qr.r()).minus(matrix))).isLessThan(1e-14);
        assertThat(qr.r().get(0, 0)).isEqualTo(-3);
        assertThatThrownBy(() -> Qr.of(matrix.transposed()))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("[2, 3] has fewer rows than columns");
    }

    private static Matrix rebuilt(Svd svd) {
        return svd.u().timesColumns(svd.s()).times(svd.v().transposed());
    }

    private static void assertOrthonormal(Matrix matrix) {
        Matrix product = matrix.transposedTimes(matrix);
        for (int i = 0; i < product.rows(); i++) {
            for (int j = 0; j < product.columns(); j++) {
                assertThat(product.get(i, j)).isCloseTo(i == j ? 1 : 0, within(1e-12));
            }
        }
    }

    private static void assertFalling(double[] values) {
        for (int i = 1; i < values.length; i++) {
            assertThat(values[i]).isLessThanOrEqualTo(values[i - 1]);
        }
    }

    private static double dotOfColumns(Matrix a, Matrix b, int column) {
        double sum = 0;
        for (int i = 0; i < a.rows(); i++) {
            sum += a.get(i, column) * b.get(i, column);
        }
        return sum;
    }

    static double largest(Matrix matrix) {
        double largest = 0;
        for (double value : matrix.values()) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }
}
