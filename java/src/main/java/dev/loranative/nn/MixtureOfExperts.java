package dev.loranative.nn;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Routing;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * A sparse mixture of experts: the router chooses, rows are sorted by expert, the experts run as grouped products, and
 * their outputs are summed by the router's weights.
 */
public final class MixtureOfExperts implements FeedForward {

    private final Router router;
    private final Experts experts;
    private final SharedExpert shared;

    /** Kept by a saving pass. */
    private Routes routes;

    private Tensor sortedInputs;

    /** @param shared null for none */
    public MixtureOfExperts(Router router, Experts experts, SharedExpert shared) {
        this.router = router;
        this.experts = experts;
        this.shared = shared;
    }

    @Override
    public boolean isTrainable() {
        return router.isTrainable() || experts.isTrainable() || (shared != null && shared.isTrainable());
    }

    @Override
    public void forward(Pass pass, Tensor x, Tensor y) {
        Slab slab = pass.slab();
        Routing routing = pass.ops().routing();
        long start = slab.mark();
        router.forward(pass, x);

        long rows = x.dimension(0) * router.topK();
        Tensor offsets = slab.allocate(DType.I32, experts.count() + 1);
        Tensor rowsOfPairs = slab.allocate(DType.I32, rows);
        Tensor tokensOfRows = slab.allocate(DType.I32, rows);
        routing.plan(router.ids(), offsets, rowsOfPairs, tokensOfRows);
        routes = new Routes(offsets, rowsOfPairs, router.weights());

        sortedInputs = slab.floats(rows, x.dimension(1));
        routing.gatherRows(x, tokensOfRows, sortedInputs);
        experts.forward(pass, sortedInputs, routes, y);
        if (shared != null) {
            shared.forward(pass, x, y);
        }
        if (!pass.saving()) {
            slab.release(start);
        }
    }

    @Override
    public void backward(Pass pass, Tensor dy, Tensor x, Tensor dx, boolean accumulate) {
        Slab slab = pass.slab();
        Routing routing = pass.ops().routing();
        long start = slab.mark();
        Tensor dWeights = slab.floats(router.weights().shape());
        Tensor dSorted = dx == null ? null : slab.floats(sortedInputs.shape());
        experts.backward(pass, dy, sortedInputs, routes, dWeights, dSorted);
        if (dx != null) {
            routing.combineForward(dSorted, routes.rowsOfPairs(), null, dx, accumulate);
        }
        router.backward(pass, dWeights, x, dx);
        if (shared != null) {
            shared.backward(pass, dy, x, dx);
        }
        slab.release(start);
    }
}
