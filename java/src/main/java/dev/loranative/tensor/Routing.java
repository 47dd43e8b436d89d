package dev.loranative.tensor;

import dev.loranative.ffi.Frame;
import dev.loranative.ffi.Structs;

/** Mixture of experts: router, permutation of tokens by expert, combination. */
public final class Routing {

    private final Launcher launcher;

    Routing(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * Softmax and top-k.
     *
     * @param logits [tokens, experts]
     * @param probabilities [tokens, experts]; may be logits
     * @param ids I32 [tokens, topK]
     * @param weights [tokens, topK]
     * @param counts I64 [experts] accumulates, or null
     * @param probabilitySums F64 [experts] accumulates, or null
     * @param logSumExp [tokens], or null
     * @param squareSum F64 [1] accumulates the squares of logSumExp, or null
     */
    public void routerForward(
            Tensor logits,
            Tensor probabilities,
            Tensor ids,
            Tensor weights,
            Tensor counts,
            Tensor probabilitySums,
            Tensor logSumExp,
            Tensor squareSum,
            boolean renormalise) {
        long tokens = logits.dimension(0);
        long experts = logits.dimension(1);
        long topK = ids.dimension(1);
        Shapes.expectFloats("logits", logits, tokens, experts);
        Shapes.expectFloats("probabilities", probabilities, tokens, experts);
        Shapes.expectInts("ids", ids, tokens, topK);
        Shapes.expectFloats("weights", weights, tokens, topK);
        if (counts != null) {
            Shapes.expect("counts", counts, DType.I64, experts);
            Shapes.expect("probabilitySums", probabilitySums, DType.F64, experts);
        }
        Shapes.expectFloatsOrNull("logSumExp", logSumExp, tokens);
        if (squareSum != null) {
            Shapes.expect("squareSum", squareSum, DType.F64, 1);
        }
        Frame frame = launcher.frame(Structs.ROUTER_FORWARD)
                .pointer("logits", logits.address())
                .pointer("probabilities", probabilities.address())
                .pointer("ids", ids.address())
                .pointer("weights", weights.address())
                .pointer("counts", Launcher.address(counts))
                .pointer("probability_sums", Launcher.address(probabilitySums))
                .pointer("log_sum_exp", Launcher.address(logSumExp))
                .pointer("square_sum", Launcher.address(squareSum))
                .int64("tokens", tokens)
                .int64("experts", experts)
                .int64("top_k", topK)
                .flag("renormalise", renormalise);
        launcher.call(launcher.kernels().routerForward(), frame);
    }

    /**
     * @param dWeights [tokens, topK]
     * @param dProbabilities [experts], the same for every token, or null
     * @param logSumExp [tokens], or null without z-loss
     * @param zScale the z-loss adds zScale * logSumExp * probabilities
     * @param dLogits [tokens, experts]
     */
    public void routerBackward(
            Tensor probabilities,
            Tensor ids,
            Tensor weights,
            Tensor dWeights,
            Tensor dProbabilities,
            Tensor logSumExp,
            float zScale,
            Tensor dLogits,
            boolean renormalise) {
        long tokens = probabilities.dimension(0);
        long experts = probabilities.dimension(1);
        long topK = ids.dimension(1);
        Shapes.expectFloats("probabilities", probabilities, tokens, experts);
        Shapes.expectInts("ids", ids, tokens, topK);
        Shapes.expectFloats("weights", weights, tokens, topK);
        Shapes.expectFloats("dWeights", dWeights, tokens, topK);
        Shapes.expectFloats("dLogits", dLogits, tokens, experts);
        Shapes.expectFloatsOrNull("dProbabilities", dProbabilities, experts);
        Shapes.expectFloatsOrNull("logSumExp", logSumExp, tokens);
        Frame frame = launcher.frame(Structs.ROUTER_BACKWARD)
                .pointer("probabilities", probabilities.address())
                .pointer("ids", ids.address())
                .pointer("weights", weights.address())
                .pointer("dweights", dWeights.address())
                .pointer("dprobabilities", Launcher.address(dProbabilities))
                .pointer("log_sum_exp", Launcher.address(logSumExp))
                .pointer("dlogits", dLogits.address())
                .int64("tokens", tokens)
                .int64("experts", experts)
                .int64("top_k", topK)
                .flag("renormalise", renormalise)
                .float32("z_scale", zScale);
        launcher.call(launcher.kernels().routerBackward(), frame);
    }

    /**
     * The load-balancing loss from what the routers of all layers counted.
     *
     * @param counts I64 [experts]
     * @param probabilitySums F64 [experts]
     * @param routerRows layers * tokens
     * @param loss F64 [1]
     * @param dProbabilities [experts] or null
     */
    public void loadBalancingLoss(
            Tensor counts,
            Tensor probabilitySums,
            long routerRows,
            float coefficient,
            Tensor loss,
            Tensor dProbabilities) {
        long experts = counts.size();
        Shapes.expect("counts", counts, DType.I64, experts);
        Shapes.expect("probabilitySums", probabilitySums, DType.F64, experts);
        Shapes.expect("loss", loss, DType.F64, 1);
        Shapes.expectFloatsOrNull("dProbabilities", dProbabilities, experts);
        launcher.call(() -> (int) launcher.kernels()
                .loadBalancingLoss()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(counts),
                        Launcher.pointer(probabilitySums),
                        experts,
                        routerRows,
                        coefficient,
                        Launcher.pointer(loss),
                        Launcher.pointer(dProbabilities)));
    }

    /**
     * Sorts (token, choice) pairs by expert.
     *
     * @param ids I32 [tokens, topK]
     * @param offsets I32 [experts + 1]
     * @param rowsOfPairs I32 [tokens * topK]
     * @param tokensOfRows I32 [tokens * topK]
     */
    public void plan(Tensor ids, Tensor offsets, Tensor rowsOfPairs, Tensor tokensOfRows) {
        Shapes.expectInts("ids", ids, ids.dimension(0), ids.dimension(1));
        Shapes.expectInts("offsets", offsets, offsets.size());
        Shapes.expectInts("rowsOfPairs", rowsOfPairs, ids.size());
        Shapes.expectInts("tokensOfRows", tokensOfRows, ids.size());
        Frame frame = launcher.frame(Structs.MOE_PLAN)
                .pointer("ids", ids.address())
                .pointer("offsets", offsets.address())
                .pointer("rows_of_pairs", rowsOfPairs.address())
                .pointer("tokens_of_rows", tokensOfRows.address())
                .int64("tokens", ids.dimension(0))
                .int64("experts", offsets.size() - 1)
                .int64("top_k", ids.dimension(1));
        launcher.call(launcher.kernels().moePlan(), ScratchOp.MOE_PLAN, frame);
    }

    /** {@code y[r] = x[index[r]]}; x [sourceRows, width], y [rows, width], index I32 [rows]. */
    public void gatherRows(Tensor x, Tensor index, Tensor y) {
        long width = x.dimension(1);
        Shapes.expectFloats("x", x, x.dimension(0), width);
        Shapes.expectInts("index", index, index.size());
        Shapes.expectFloats("y", y, index.size(), width);
        launcher.call(() -> (int) launcher.kernels()
                .gatherRows()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(x),
                        Launcher.pointer(index),
                        Launcher.pointer(y),
                        index.size(),
                        x.dimension(0),
                        width));
    }

    /** {@code y[index[r]] = x[r]} for distinct indices; other rows of y stay. */
    public void scatterRows(Tensor x, Tensor index, Tensor y) {
        long width = x.dimension(1);
        Shapes.expectInts("index", index, index.size());
        Shapes.expectFloats("x", x, index.size(), width);
        Shapes.expectFloats("y", y, y.dimension(0), width);
        launcher.call(() -> (int) launcher.kernels()
                .scatterRows()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(x),
                        Launcher.pointer(index),
                        Launcher.pointer(y),
                        index.size(),
                        y.dimension(0),
                        width));
    }

    /** {@code y[r,j] = x[r,index[j]]}; x [rows, width], y [rows, count], index I32 [count]. */
    public void gatherColumns(Tensor x, Tensor index, Tensor y) {
        long rows = x.dimension(0);
        Shapes.expectFloats("x", x, rows, x.dimension(1));
        Shapes.expectInts("index", index, index.size());
        Shapes.expectFloats("y", y, rows, index.size());
        launcher.call(() -> (int) launcher.kernels()
                .gatherColumns()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(x),
                        Launcher.pointer(index),
                        Launcher.pointer(y),
                        rows,
                        x.dimension(1),
                        index.size()));
    }

    /** {@code y[r,index[j]] += x[r,j]} for distinct indices; x [rows, count], y [rows, width]. */
    public void addColumns(Tensor x, Tensor index, Tensor y) {
        long rows = y.dimension(0);
        Shapes.expectFloats("x", x, rows, index.size());
        Shapes.expectInts("index", index, index.size());
        Shapes.expectFloats("y", y, rows, y.dimension(1));
        launcher.call(() -> (int) launcher.kernels()
                .addColumns()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(x),
                        Launcher.pointer(index),
                        Launcher.pointer(y),
                        rows,
                        y.dimension(1),
                        index.size()));
    }

    /**
     * {@code y[t] (+)= sum_j weights[t,j] * x[row of (t,j)]}.
     *
     * @param x [tokens * topK, width]
     * @param weights [tokens, topK], or null for 1
     * @param y [tokens, width]
     */
    public void combineForward(Tensor x, Tensor rowsOfPairs, Tensor weights, Tensor y, boolean accumulate) {
        long tokens = y.dimension(0);
        long topK = tokens == 0 ? 1 : rowsOfPairs.size() / tokens;
        Shapes.expectFloats("y", y, tokens, y.dimension(1));
        Shapes.expectFloats("x", x, tokens * topK, y.dimension(1));
        Shapes.expectInts("rowsOfPairs", rowsOfPairs, tokens * topK);
        Shapes.expectFloatsOrNull("weights", weights, tokens, topK);
        launcher.call(() -> (int) launcher.kernels()
                .moeCombineForward()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(x),
                        Launcher.pointer(rowsOfPairs),
                        Launcher.pointer(weights),
                        Launcher.pointer(y),
                        tokens,
                        topK,
                        y.dimension(1),
                        accumulate ? 1 : 0));
    }

    /** @param dx [tokens * topK, width]; may be x */
    public void combineBackward(Tensor dy, Tensor x, Tensor rowsOfPairs, Tensor weights, Tensor dx, Tensor dWeights) {
        long tokens = dy.dimension(0);
        long topK = weights.dimension(1);
        Shapes.expectFloats("dy", dy, tokens, dy.dimension(1));
        Shapes.expectFloats("x", x, tokens * topK, dy.dimension(1));
        Shapes.expectInts("rowsOfPairs", rowsOfPairs, tokens * topK);
        Shapes.expectFloats("weights", weights, tokens, topK);
        Shapes.expectFloats("dx", dx, tokens * topK, dy.dimension(1));
        Shapes.expectFloats("dWeights", dWeights, tokens, topK);
        launcher.call(() -> (int) launcher.kernels()
                .moeCombineBackward()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(dy),
                        Launcher.pointer(x),
                        Launcher.pointer(rowsOfPairs),
                        Launcher.pointer(weights),
                        Launcher.pointer(dx),
                        Launcher.pointer(dWeights),
                        tokens,
                        topK,
                        dy.dimension(1)));
    }
}
