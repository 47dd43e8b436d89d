package dev.loranative.cli;

import dev.loranative.config.OptimizerOptions;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.FullTarget;
import dev.loranative.lora.FullTensor;
import dev.loranative.lora.Target;
import dev.loranative.lora.Targets;
import dev.loranative.lora.TokenRows;
import dev.loranative.lora.TokenTarget;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.optim.GroupRule;
import dev.loranative.optim.Moments;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * What would be trained, or what an adapter holds.
 *
 * @param shared whether the experts of a layer have one low-rank update for each projection
 * @param optimizerBytes what the optimizer keeps in training
 */
record Trainable(List<LowRank> modules, List<Full> full, List<Rows> rows, boolean shared, long optimizerBytes) {

    /** Bytes of a trained number in the adapter's file, and of its gradient: float32. */
    private static final int VALUE_BYTES = Float.BYTES;

    /**
     * A module with a low-rank update.
     *
     * @param name as in the checkpoint; of an adapter, as in its file
     * @param extra what is trained beside A and B, for people: {@code DoRA}, {@code bias}, or nothing
     * @param parameters with those of DoRA and of a bias
     */
    record LowRank(LinearModule module, String name, int r, double alpha, String extra, long parameters) {

        private Object projection() {
            return module.layer() + module.name().substring(module.name().lastIndexOf('.'));
        }
    }

    /** @param setting the key that asked for it; empty for an adapter's */
    record Full(String name, List<Long> shape, String setting) {

        long parameters() {
            return shape.stream().reduce(1L, Math::multiplyExact);
        }
    }

    /** Rows of an embedding or head. */
    record Rows(String module, List<Integer> indices, long width) {

        long parameters() {
            return indices.size() * width;
        }
    }

    Trainable {
        modules = List.copyOf(modules);
        full = List.copyOf(full);
        rows = List.copyOf(rows);
    }

    static Trainable nothing() {
        return new Trainable(List.of(), List.of(), List.of(), false, 0);
    }

    /** @param optimizer that would train */
    static Trainable of(Targets targets, boolean shared, OptimizerOptions optimizer) {
        return new Trainable(
                targets.list().stream().map(Trainable::lowRank).toList(),
                targets.full().stream().map(Trainable::full).toList(),
                targets.tokens().stream().map(Trainable::rows).toList(),
                shared,
                Moments.bytes(targets.sizes(shared, GroupRule.of(optimizer)).values(), optimizer.eightBit()));
    }

    /** @param optimizer that would train */
    static Trainable of(Adapter adapter, OptimizerOptions optimizer) {
        boolean shared = adapter.config().lora().shareExpertAdapters();
        return new Trainable(
                adapter.modules().stream()
                        .map(module -> new LowRank(
                                module.module(),
                                module.name(),
                                module.r(),
                                module.alpha(),
                                extra(
                                        module.magnitude().isPresent(),
                                        module.bias().isPresent()),
                                module.parameters()))
                        .toList(),
                adapter.tensors().full().stream().map(Trainable::full).toList(),
                adapter.tensors().tokens().stream().map(Trainable::rows).toList(),
                shared,
                Moments.bytes(
                        adapter.tensors().sizes(shared, GroupRule.of(optimizer)).values(), optimizer.eightBit()));
    }

    private static LowRank lowRank(Target target) {
        return new LowRank(
                target.module(),
                target.module().name(),
                target.r(),
                target.alpha(),
                extra(target.dora(), target.bias()),
                target.parameters());
    }

    private static String extra(boolean dora, boolean bias) {
        return dora ? "DoRA" : bias ? "bias" : "";
    }

    private static Full full(FullTarget target) {
        return new Full(
                target.name(), target.shape(), target.origin() == FullTarget.Origin.BIAS ? "bias" : "modules_to_save");
    }

    private static Full full(FullTensor tensor) {
        return new Full(tensor.name(), tensor.shape(), "");
    }

    private static Rows rows(TokenTarget target) {
        return new Rows(target.module(), target.indices(), target.width());
    }

    private static Rows rows(TokenRows rows) {
        return new Rows(
                rows.module(),
                rows.indices(),
                rows.values().length / Math.max(1, rows.indices().size()));
    }

    boolean isEmpty() {
        return modules.isEmpty() && full.isEmpty() && rows.isEmpty();
    }

    /** Trained numbers; a shared update counts once. */
    long parameters() {
        return lowRankParameters()
                + full.stream().mapToLong(Full::parameters).sum()
                + rows.stream().mapToLong(Rows::parameters).sum();
    }

    long lowRankParameters() {
        return parameters(modules);
    }

    /** Trained numbers of some of the modules; an update that they share counts once. */
    long parameters(List<LowRank> some) {
        long sum = 0;
        Set<Object> seen = new HashSet<>();
        for (LowRank module : some) {
            boolean again = shared && module.module().kind() == Kind.EXPERT && !seen.add(module.projection());
            sum += again ? 0 : module.parameters();
        }
        return sum;
    }

    /** Of the values in the adapter's file, without its header; a shared update stands there once for each expert. */
    long adapterBytes() {
        long repeated = modules.stream().mapToLong(LowRank::parameters).sum() - lowRankParameters();
        return VALUE_BYTES * (parameters() + repeated);
    }

    long gradientBytes() {
        return VALUE_BYTES * parameters();
    }
}
