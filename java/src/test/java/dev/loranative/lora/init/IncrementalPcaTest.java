package dev.loranative.lora.init;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.random.CounterRandom;
import org.junit.jupiter.api.Test;

class IncrementalPcaTest {

    private static final int WIDTH = 6;
    private static final CounterRandom RANDOM = new CounterRandom(1, 2);

    /** Columns of falling deviation around a mean that is not zero. */
    private static Matrix data(int rows, int stream) {
        Matrix data = Matrix.normal(rows, WIDTH, new CounterRandom(7, stream))
                .timesColumns(new double[] {8, 4, 2, 1, 0.5, 0.25});
        for (int i = 0; i < data.values().length; i++) {
            data.values()[i] += 3 * (i % WIDTH);
        }
        return data;
    }

    /** With as many directions as columns nothing is dropped, and batches give what all rows together give. */
    @Test
    void batchesGiveTheDirectionsOfTheWhole() {
        Matrix first = data(20, 1);
        Matrix second = data(9, 2);
        IncrementalPca pca = new IncrementalPca(WIDTH, WIDTH, RANDOM);

        assertThat(pca.add(first)).isTrue();
        assertThat(pca.add(second)).isTrue();

        Matrix all = Matrix.zeros(29, WIDTH);
        System.arraycopy(first.values(), 0, all.values(), 0, first.values().length);
        System.arraycopy(second.values(), 0, all.values(), first.values().length, second.values().length);
        Svd expected = Svd.exact(centred(all));
        double total = 0;
        for (double value : expected.s()) {
            total += value * value;
        }
        for (int k = 0; k < WIDTH; k++) {
            assertThat(pca.singularValues()[k]).isCloseTo(expected.s()[k], within(1e-9));
            assertThat(pca.explained()[k]).isCloseTo(expected.s()[k] * expected.s()[k] / total, within(1e-12));
            double cosine = 0;
            for (int i = 0; i < WIDTH; i++) {
                cosine += pca.directions().get(k, i) * expected.v().get(i, k);
            }
            assertThat(Math.abs(cosine)).isCloseTo(1, within(1e-9));
        }
    }

    @Test
    void aBatchThatIsTooSmallIsLeftOut() {
        IncrementalPca pca = new IncrementalPca(3, WIDTH, RANDOM);

        assertThat(pca.add(data(2, 1))).isFalse();
        assertThat(pca.hasDirections()).isFalse();
        assertThat(pca.add(data(3, 1))).isTrue();
        assertThat(pca.directions().rows()).isEqualTo(3);
    }

    private static Matrix centred(Matrix data) {
        double[] mean = new double[data.columns()];
        for (int i = 0; i < data.values().length; i++) {
            mean[i % data.columns()] += data.values()[i] / data.rows();
        }
        Matrix centred = Matrix.zeros(data.rows(), data.columns());
        for (int i = 0; i < data.values().length; i++) {
            centred.values()[i] = data.values()[i] - mean[i % data.columns()];
        }
        return centred;
    }
}
