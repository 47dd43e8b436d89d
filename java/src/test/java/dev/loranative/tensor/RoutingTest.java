package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.KernelException;
import dev.loranative.tensor.cases.Matrix;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class RoutingTest {

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void countsAccumulateAndProbabilitiesMayReplaceLogits(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            float[] logits = bench.normal(37 * 11, 2);
            Tensor apart = bench.unwritten(37, 11);
            Tensor inPlace = bench.floats(logits, 37, 11);
            Tensor ids = bench.ints(new int[37 * 3], 37, 3);
            Tensor weights = bench.unwritten(37, 3);
            Tensor counts = Tensor.allocate(bench.device(), DType.I64, 11);
            Tensor sums = Tensor.allocate(bench.device(), DType.F64, 11);
            Routing routing = bench.ops().routing();

            routing.routerForward(bench.floats(logits, 37, 11), apart, ids, weights, counts, sums, null, null, true);
            double[] once = sums.toDoubles(bench.device());
            long[] counted = counts.toLongs(bench.device());
            routing.routerForward(inPlace, inPlace, ids, weights, counts, sums, null, null, true);

            results.equal("probabilities", inPlace, bench.read(apart));
            results.close("sums", sums, Arrays.stream(once).map(sum -> 2 * sum).toArray(), 1e-12);
            assertThat(counts.toLongs(bench.device()))
                    .isEqualTo(Arrays.stream(counted).map(count -> 2 * count).toArray());
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void columnsAreTakenAndAdded(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            float[] x = bench.normal(37 * 11);
            Tensor index = bench.ints(new int[] {7, 0, 10}, 3);
            Tensor columns = bench.unwritten(37, 3);
            Tensor wide = bench.floats(x, 37, 11);
            bench.ops().routing().gatherColumns(wide, index, columns);
            bench.ops().routing().addColumns(columns, index, wide);
            double[] taken = new double[37 * 3];
            double[] doubled = Matrix.doubles(x);
            for (int t = 0; t < 37; t++) {
                int[] numbers = {7, 0, 10};
                for (int j = 0; j < 3; j++) {
                    taken[t * 3 + j] = x[t * 11 + numbers[j]];
                    doubled[t * 11 + numbers[j]] *= 2;
                }
            }
            results.close("columns", columns, taken, 1e-6);
            results.close("sum", wide, doubled, 1e-6);
        });
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Routing routing = bench.ops().routing();
            Tensor logits = bench.unwritten(4, 6);
            Tensor ids = bench.ints(new int[8], 4, 2);

            assertThatThrownBy(() -> routing.routerForward(
                            logits, logits, ids, bench.unwritten(4, 3), null, null, null, null, true))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("weights is F32[4, 3], must be F32[4, 2]");
            assertThatThrownBy(() -> routing.plan(
                            ids, bench.ints(new int[7], 7), bench.ints(new int[7], 7), bench.ints(new int[8], 8)))
                    .hasMessage("rowsOfPairs is I32[7], must be I32[8]");
            assertThatThrownBy(() -> routing.gatherRows(logits, ids.reshape(8), bench.unwritten(8, 5)))
                    .hasMessage("y is F32[8, 5], must be F32[8, 6]");
        }
    }

    @Test
    void theLibraryNamesAnIndexOutside() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Tensor x = bench.unwritten(4, 6);
            Tensor y = bench.unwritten(2, 6);

            assertThatThrownBy(() -> bench.ops().routing().gatherRows(x, bench.ints(new int[] {1, 4}, 2), y))
                    .isInstanceOf(KernelException.class)
                    .hasMessageContaining("ln_gather_rows")
                    .hasMessageContaining("4");
        }
    }
}
