package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class LanguageHeadTest {

    private static final int HIDDEN = 8;
    private static final int VOCABULARY = 17;
    private static final int LARGE = 151_936;
    private static final float SCALE = 0.3f;

    private final Workbench bench = new Workbench();
    private final Slab slab = bench.slab();

    @AfterEach
    void close() {
        bench.close();
    }

    @Test
    void frozenHead() {
        LanguageHead head = new LanguageHead(new LinearSlot(bench.biased(HIDDEN, VOCABULARY)));

        check(head, null);

        assertThat(head.isTrainable()).isFalse();
        assertThat(head.vocabulary()).isEqualTo(VOCABULARY);
    }

    @Test
    void adaptedHead() {
        LanguageHead head = new LanguageHead(bench.adaptedSlot("head", HIDDEN, VOCABULARY));

        check(head, null);

        assertThat(head.isTrainable()).isTrue();
    }

    @Test
    void adaptedHeadWithDropout() {
        check(
                new LanguageHead(new LinearSlot(bench.adapted("head", bench.dense(HIDDEN, VOCABULARY), 3, 0.3f))),
                Workbench.dropoutStreams());
    }

    private void check(LanguageHead head, DropoutStreams streams) {
        int[] targets = {3, -100, 16, 0, -100, 5};
        Tensor x = bench.normal(1, targets.length, HIDDEN);
        Labels labels = Labels.upload(bench.ops(), slab, targets);
        Tensor losses = bench.bench().unwritten(labels.count());
        Tensor dx = bench.bench().unwritten(targets.length, HIDDEN);

        head.loss(pass(streams), x, labels, losses, SCALE, dx, true);

        float[] gradient = bench.read(dx);
        float[] withGradient = bench.read(losses);
        assertThat(withGradient).hasSize(4);
        assertThat(Arrays.copyOfRange(gradient, HIDDEN, 2 * HIDDEN))
                .as("a row without label")
                .containsOnly(0);
        float[][] gradients = bench.parameters().stream()
                .map(parameter -> bench.read(parameter.gradient()))
                .toArray(float[][]::new);
        GradientCheck check = GradientCheck.smooth(bench, () -> {
            head.loss(pass(streams), x, labels, losses, 0, null, false);
            double sum = 0;
            for (float loss : bench.read(losses)) {
                sum += loss;
            }
            return SCALE * sum;
        });
        check.check("x", x, gradient);
        for (int i = 0; i < gradients.length; i++) {
            Parameter parameter = bench.parameters().get(i);
            check.check(parameter.name(), parameter.value(), gradients[i]);
            assertThat(bench.read(parameter.gradient()))
                    .as("a pass without gradient leaves " + parameter.name())
                    .isEqualTo(gradients[i]);
        }
        head.loss(pass(streams), x, labels, losses, 0, null, false);
        assertThat(bench.read(losses)).isEqualTo(withGradient);
    }

    private Pass pass(DropoutStreams streams) {
        return Pass.training(bench.ops(), slab, Workbench.NO_TOKENS, streams, null);
    }

    /** More rows than a chunk holds: the pieces fit together. */
    @Test
    void chunksCoverAllRows() {
        int rows = 2500;
        DenseLinear linear = bench.dense(HIDDEN, VOCABULARY);
        LanguageHead head = new LanguageHead(new LinearSlot(linear));
        int[] targets = new int[rows];
        for (int row = 0; row < rows; row++) {
            targets[row] = row % 3 == 1 ? Labels.IGNORED : row % VOCABULARY;
        }
        Tensor x = bench.normal(1, rows, HIDDEN);
        Labels labels = Labels.upload(bench.ops(), slab, targets);
        Tensor losses = bench.bench().unwritten(labels.count());
        Tensor dx = bench.bench().unwritten(rows, HIDDEN);
        long before = slab.mark();

        head.loss(pass(null), x, labels, losses, SCALE, dx, true);

        assertThat(slab.mark()).isEqualTo(before);
        Tensor logits = bench.bench().unwritten(rows, VOCABULARY);
        head.logits(pass(null), x, logits);
        float[] numbers = bench.read(logits);
        float[] weight = bench.read(linear.weight());
        float[] actualLosses = bench.read(losses);
        float[] actualDx = bench.read(dx);
        int target = 0;
        for (int row = 0; row < rows; row++) {
            double[] p = softmax(numbers, row);
            boolean counts = targets[row] != Labels.IGNORED;
            if (counts) {
                assertThat((double) actualLosses[target++])
                        .as("loss of row " + row)
                        .isCloseTo(-Math.log(p[targets[row]]), within(1e-4));
            }
            for (int i = 0; i < HIDDEN; i++) {
                double expected = 0;
                for (int word = 0; counts && word < VOCABULARY; word++) {
                    expected += SCALE * (p[word] - (word == targets[row] ? 1 : 0)) * weight[word * HIDDEN + i];
                }
                assertThat((double) actualDx[row * HIDDEN + i])
                        .as("dx of row " + row)
                        .isCloseTo(expected, within(1e-5));
            }
        }
        assertThat(target).isEqualTo(actualLosses.length);
    }

    private static double[] softmax(float[] logits, int row) {
        double[] p = new double[VOCABULARY];
        double sum = 0;
        for (int word = 0; word < VOCABULARY; word++) {
            p[word] = Math.exp(logits[row * VOCABULARY + word]);
            sum += p[word];
        }
        for (int word = 0; word < VOCABULARY; word++) {
            p[word] /= sum;
        }
        return p;
    }

    /** Of a vocabulary as large as real ones: what a step is planned to take for logits. */
    @Test
    void logitsTakeNoMoreForMoreRows() {
        long chunk = plannedBytes(64, 64);

        assertThat(chunk).isBetween(4L * 64 * LARGE, 5L * 64 * LARGE);
        assertThat(plannedBytes(4096, 4096)).isEqualTo(chunk);
        assertThat(plannedBytes(4096, 4)).as("of rows without a label").isLessThan(chunk / 10);
    }

    private long plannedBytes(int rows, int labelled) {
        LanguageHead head = new LanguageHead(new LinearSlot(bench.dense(2, LARGE)));
        int[] targets = new int[rows];
        Arrays.fill(targets, Labels.IGNORED);
        Arrays.fill(targets, rows - labelled, rows, 1);
        Slab planning = Slab.planning();
        long[] before = new long[1];
        bench.ops().plan(() -> {
            Labels labels = Labels.upload(bench.ops(), planning, targets);
            Tensor x = planning.floats(rows, 2);
            Tensor dx = planning.floats(rows, 2);
            Tensor losses = planning.floats(labelled);
            before[0] = planning.mark();
            Pass pass = Pass.training(bench.ops(), planning, Workbench.NO_TOKENS, null, null);
            head.loss(pass, x, labels, losses, SCALE, dx, true);
        });
        return planning.peakBytes() - before[0];
    }

    @Test
    void withoutLabelsThereIsNothingToLearn() {
        LanguageHead head = new LanguageHead(bench.adaptedSlot("head", HIDDEN, VOCABULARY));
        Labels labels = Labels.upload(bench.ops(), slab, new int[] {-100, -100});
        Tensor dx = bench.bench().unwritten(2, HIDDEN);

        head.loss(pass(null), bench.normal(1, 2, HIDDEN), labels, bench.bench().unwritten(0), SCALE, dx, true);

        assertThat(labels.count()).isZero();
        assertThat(bench.read(dx)).containsOnly(0);
    }
}
