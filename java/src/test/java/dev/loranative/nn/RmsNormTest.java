package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class RmsNormTest {

    private static final int ROWS = 5;
    private static final int WIDTH = 19;

    private final Workbench bench = new Workbench();
    private final RmsNorm norm = bench.norm(WIDTH);
    private final Tensor x = bench.normal(1, ROWS, WIDTH);
    private final Tensor residual = bench.normal(1, ROWS, WIDTH);
    private final float[] weights = bench.bench().normal(ROWS * WIDTH);
    private final float[] sumWeights = bench.bench().normal(ROWS * WIDTH);

    @AfterEach
    void close() {
        bench.close();
    }

    @Test
    void alone() {
        new ModuleCheck(
                        bench,
                        x,
                        WIDTH,
                        (pass, input, y) -> {
                            long start = bench.slab().mark();
                            norm.forward(pass, input, null, input, y);
                            if (!pass.saving()) {
                                bench.slab().release(start);
                            }
                        },
                        (pass, dy, input, dx, accumulate) -> {
                            if (dx != null) {
                                norm.backward(pass, dy, accumulate ? dx : null, dx);
                            }
                        })
                .run();
    }

    /** The sum goes on as the residual stream: its own gradient joins that of the norm. */
    @Test
    void withResidual() {
        Slab slab = bench.slab();
        Pass pass = Pass.training(bench.ops(), slab, Workbench.NO_TOKENS, null, null);
        Tensor sum = bench.bench().unwritten(ROWS, WIDTH);
        Tensor y = bench.bench().unwritten(ROWS, WIDTH);
        loss(pass, sum, y);
        Tensor dx = bench.bench().floats(sumWeights, ROWS, WIDTH);

        norm.backward(pass, bench.bench().floats(weights, ROWS, WIDTH), dx, dx);

        float[] gradient = bench.read(dx);
        GradientCheck check = GradientCheck.smooth(bench, () -> loss(pass, sum, y));
        check.check("x", x, gradient);
        check.check("residual", residual, gradient);
    }

    private double loss(Pass pass, Tensor sum, Tensor y) {
        norm.forward(pass, x, residual, sum, y);
        return GradientCheck.dot(bench.read(y), weights) + GradientCheck.dot(bench.read(sum), sumWeights);
    }

    @Test
    void knowsItsWidth() {
        assertThat(norm.width()).isEqualTo(WIDTH);
    }
}
