package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.KernelException;
import dev.loranative.tensor.cases.Philox;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ElementwiseTest {

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void castsRoundToNearestEven(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            float[] values = bench.normal(100, 10);
            values[0] = 0;
            values[1] = -0.0f;
            values[2] = 1 + 0x1p-8f; // halfway between two bfloat16 numbers: to the even one, which is 1
            values[3] = 1 + 3 * 0x1p-8f;
            values[4] = 1 + 0x1p-11f; // halfway between two float16 numbers
            values[5] = 65520; // rounds to infinity in float16
            values[6] = 6e-8f; // subnormal in float16
            values[7] = Float.POSITIVE_INFINITY;
            Tensor source = bench.floats(values, 100);
            Tensor brain = Tensor.allocate(bench.device(), DType.BF16, 100);
            Tensor half = Tensor.allocate(bench.device(), DType.F16, 100);
            Tensor fromBrain = bench.unwritten(100);
            Tensor fromHalf = bench.unwritten(100);
            Elementwise elementwise = bench.ops().elementwise();

            elementwise.cast(source, brain);
            elementwise.cast(brain, fromBrain);
            elementwise.cast(source, half);
            elementwise.cast(half, fromHalf);

            float[] expectedHalf = new float[100];
            float[] expectedBrain = new float[100];
            for (int i = 0; i < 100; i++) {
                expectedHalf[i] = Float.float16ToFloat(Float.floatToFloat16(values[i]));
                int bits = Float.floatToRawIntBits(values[i]);
                expectedBrain[i] = Float.intBitsToFloat((bits + 0x7fff + (bits >>> 16 & 1)) & 0xffff0000);
            }
            results.equal("float16", fromHalf, expectedHalf);
            results.equal("bfloat16", fromBrain, expectedBrain);
            assertThat(expectedBrain[2]).isEqualTo(1);
            assertThat(expectedHalf[5]).isInfinite();
        });
    }

    /** The first known answers of the Random123 distribution's kat_vectors for philox4x32-10. */
    @Test
    void thePhiloxOfTheTableIsThePublishedOne() {
        assertThat(Philox.word(0, 0, 0)).isEqualTo(0x6627e8d5);
        assertThat(Philox.word(0, 0, 1)).isEqualTo(0xe169c58d);
        assertThat(Philox.word(0, 0, 3)).isEqualTo(0x9b00dbd8);
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void dropoutInPlace(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            Tensor x = bench.floats(bench.normal(5000), 5000);
            Tensor apart = bench.unwritten(5000);
            bench.ops().elementwise().dropout(x, apart, 0.3f, 7, 9, false);

            bench.ops().elementwise().dropout(x, x, 0.3f, 7, 9, false);

            results.equal("y", x, bench.read(apart));
        });
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Elementwise elementwise = bench.ops().elementwise();
            Tensor three = bench.unwritten(3);
            Tensor four = bench.unwritten(4);

            assertThatThrownBy(() -> elementwise.gatedForward(Activation.SILU, three, four, three))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("up is F32[4], must have 3 F32 elements");
            assertThatThrownBy(() -> elementwise.axpby(1, three, 0, four))
                    .hasMessage("x is F32[3], must have 4 F32 elements");
            assertThatThrownBy(() -> elementwise.copy(bench.ints(new int[3], 3), three))
                    .hasMessage("x is I32[3], must have 3 F32 elements");
            assertThatThrownBy(() -> elementwise.cast(three, four)).hasMessageContaining("differ in size");
            assertThatThrownBy(() ->
                            elementwise.sigmoidGateForward(bench.unwritten(2, 3), three, bench.unwritten(2, 3), false))
                    .hasMessage("gate is F32[3], must have 2 F32 elements");
        }
    }

    @Test
    void theLibraryNamesABadProbability() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Tensor x = bench.unwritten(3);

            assertThatThrownBy(() -> bench.ops().elementwise().dropout(x, x, 1.5f, 0, 0, false))
                    .isInstanceOf(KernelException.class)
                    .hasMessageContaining("ln_dropout")
                    .hasMessageContaining("1.5");
        }
    }
}
