package dev.loranative.model;

import dev.loranative.config.QuantizationOptions;
import dev.loranative.device.Device;
import dev.loranative.quant.Quantizer;
import dev.loranative.quant.StoredWeights;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import java.util.List;
import java.util.Optional;

/**
 * A model of a configuration whose weights are made where they are needed, in the memory of a device; {@link RandomWeights}
 * says how. Good for measuring what a model costs that nobody has at hand; not for answers.
 */
public final class SyntheticModel implements ModelSource {

    private static final long SEED = 1;

    private final ModelConfig config;
    private final ModuleTree tree;
    private final WeightLayout layout;
    private final QuantizationPlan plan;

    private SyntheticModel(ModelConfig config, QuantizationPlan plan) {
        this.config = config;
        this.tree = ModuleTree.of(config);
        this.layout = WeightLayout.of(config);
        this.plan = plan;
    }

    /**
     * @param options which weights are held in 4 bits, and how; the others are bfloat16
     * @throws dev.loranative.errors.UserException if the options do not fit the model
     */
    public static SyntheticModel of(ModelConfig config, QuantizationOptions options) {
        return new SyntheticModel(config, QuantizationPlan.of(config, StoredWeights.none(), options));
    }

    @Override
    public ModelConfig config() {
        return config;
    }

    @Override
    public ModuleTree tree() {
        return tree;
    }

    @Override
    public long parameters() {
        return layout.parameters();
    }

    @Override
    public long weightBytes() {
        return bytes(true) + bytes(false);
    }

    @Override
    public Optional<FourBits> fourBits() {
        return quantizes() ? Optional.of(new FourBits(plan.count(), 8.0 * bytes(true) / elements())) : Optional.empty();
    }

    @Override
    public List<String> notes() {
        return plan.notes(tree);
    }

    @Override
    public boolean quantizes() {
        return plan.count() > 0;
    }

    @Override
    public LoadedModel load(Ops ops, LoadListener listener) {
        ops.device().reserve(Device.WEIGHTS, weightBytes());
        try (RandomWeights weights = new RandomWeights(ops, layout, plan, listener, SEED)) {
            return new ModelBuilder(config, weights).build(Optional.empty());
        }
    }

    /** Of the weights in 4 bits, or of the others. */
    private long bytes(boolean fourBits) {
        return layout.shapes().entrySet().stream()
                .filter(tensor -> plan.quantizesTensor(tensor.getKey()) == fourBits)
                .mapToLong(tensor -> fourBits
                        ? Quantizer.bytes(
                                size(tensor.getValue()),
                                plan.options().blockSize(),
                                plan.options().doubleQuantization())
                        : DType.BF16.bytes() * size(tensor.getValue()))
                .sum();
    }

    /** Of the weights in 4 bits. */
    private long elements() {
        return layout.shapes().entrySet().stream()
                .filter(tensor -> plan.quantizesTensor(tensor.getKey()))
                .mapToLong(tensor -> size(tensor.getValue()))
                .sum();
    }

    private static long size(List<Long> shape) {
        return shape.stream().reduce(1L, Math::multiplyExact);
    }

    @Override
    public void close() {
        // Nothing is held before load.
    }
}
