package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.device.Device;
import dev.loranative.quant.Quantizer;
import dev.loranative.quant.WeightUpload;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;

/**
 * Puts the weights of a checkpoint on a device: as they lie in the mapped file, or quantised on the way, one after the
 * other.
 */
final class WeightLoader implements ModuleWeights {

    private final Checkpoint checkpoint;
    private final Device device;
    private final QuantizationPlan plan;
    private final WeightUpload upload;
    private final Quantizer quantizer;
    private final LoadListener listener;
    private int quantized;

    WeightLoader(Checkpoint checkpoint, Ops ops, QuantizationPlan plan, LoadListener listener) {
        this.checkpoint = checkpoint;
        this.device = ops.device();
        this.plan = plan;
        this.upload = new WeightUpload(ops);
        this.quantizer = plan.count() == 0
                ? null
                : new Quantizer(
                        ops,
                        plan.type(),
                        plan.options().blockSize(),
                        plan.options().doubleQuantization());
        this.listener = listener;
    }

    @Override
    public Device device() {
        return device;
    }

    @Override
    public boolean contains(String name) {
        return checkpoint.contains(name);
    }

    @Override
    public Tensor weight(String module) {
        String name = module + ".weight";
        if (plan.quantizes(module)) {
            return quantized(name);
        }
        return plan.stored().find(name).map(upload::upload).orElseGet(() -> tensor(name));
    }

    private Tensor quantized(String name) {
        TensorEntry entry = checkpoint.entry(name);
        Quantizer.Source source = new Quantizer.Source(name, checkpoint.data(name), dtype(entry.type()), entry.shape());
        Tensor weight = quantizer.quantize(source, device::allocate).tensor(device);
        checkpoint.release(name);
        quantized++;
        listener.quantized(quantized, plan.count());
        return weight;
    }

    /** Where it lies in the mapped file, if the device can read it there. */
    @Override
    public Tensor tensor(String name) {
        TensorEntry entry = checkpoint.entry(name);
        DType dtype = dtype(entry.type());
        long[] shape = entry.shape().stream().mapToLong(Long::longValue).toArray();
        return new Tensor(device.upload(checkpoint.data(name), dtype.bytes()), 0, dtype, shape);
    }

    static DType dtype(ElementType type) {
        return switch (type) {
            case F32 -> DType.F32;
            case BF16 -> DType.BF16;
            case F16 -> DType.F16;
            default -> throw new IllegalArgumentException(type + " passed the checks of WeightLayout");
        };
    }
}
