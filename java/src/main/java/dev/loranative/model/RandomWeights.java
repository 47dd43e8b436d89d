package dev.loranative.model;

import dev.loranative.device.Device;
import dev.loranative.device.Loan;
import dev.loranative.quant.Quantizer;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * Weights that nobody trained, made in a device's memory: matrices of deviation 0.02 as a model begins, norms of 1, biases
 * of 0.
 *
 * <p>About four million normal numbers are drawn on the host and copied to the device once. A matrix is the next of them,
 * beginning again at the first after the last: rounded to bfloat16, or quantised by the kernels that quantise a checkpoint,
 * so that codes, scales and nested scales are distributed as those of a real model. Their number is 64 times a prime: rows of
 * the widths that models have begin at 65,537 different places before one repeats. A model of 30 billion parameters is so
 * one pass of a kernel over its weights, and never exists on the host or in a file.
 *
 * <p>Closing gives back the memory of the numbers; the weights stay.
 */
final class RandomWeights implements ModuleWeights, AutoCloseable {

    private static final double DEVIATION = 0.02;

    /** Every weight begins at a multiple, which kernels that read 16 bytes at once need. */
    private static final long GRAIN = 64;

    private static final long LONGEST_PERIOD = GRAIN * 65_537;

    private static final short ONE = 0x3f80;

    private final Device device;
    private final Ops ops;
    private final Map<String, List<Long>> shapes;
    private final QuantizationPlan plan;
    private final LoadListener listener;
    private final Quantizer quantizer;
    private final Loan loan;
    private final long period;

    /** F32 [period + a piece]: the end is the beginning again, so that a piece is never in two parts. */
    private final Tensor noise;

    private long next;
    private int quantized;

    /** @param seed the same weights for the same seed */
    RandomWeights(Ops ops, WeightLayout layout, QuantizationPlan plan, LoadListener listener, long seed) {
        this.device = ops.device();
        this.ops = ops;
        this.shapes = layout.shapes();
        this.plan = plan;
        this.listener = listener;
        this.quantizer = new Quantizer(
                ops, plan.type(), plan.options().blockSize(), plan.options().doubleQuantization());
        this.period = Math.min(LONGEST_PERIOD, wholeGrains(layout.parameters()));
        long tail = Math.min(Quantizer.PIECE, period);
        this.loan = device.borrow((period + tail) * Float.BYTES);
        this.noise = new Tensor(loan.buffer(), 0, DType.F32, period + tail);
        MemorySegment drawn = MemorySegment.ofArray(draw(seed));
        noise.range(0, period).copyFrom(device, drawn);
        noise.range(period, tail).copyFrom(device, drawn.asSlice(0, tail * Float.BYTES));
    }

    private float[] draw(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] drawn = new float[Math.toIntExact(period)];
        for (int i = 0; i < drawn.length; i++) {
            drawn[i] = (float) random.nextGaussian(0, DEVIATION);
        }
        return drawn;
    }

    @Override
    public Device device() {
        return device;
    }

    @Override
    public boolean contains(String tensor) {
        return shapes.containsKey(tensor);
    }

    @Override
    public Tensor weight(String module) {
        String name = module + ".weight";
        List<Long> shape = shapes.get(name);
        if (shape.size() == 1) {
            return ones(shape.getFirst());
        }
        return plan.quantizes(module) ? quantized(name, shape) : bfloat16(shape);
    }

    /** A bias: zeros. */
    @Override
    public Tensor tensor(String name) {
        return Tensor.allocate(device, DType.BF16, sizes(shapes.get(name)));
    }

    private Tensor ones(long count) {
        Tensor ones = Tensor.allocate(device, DType.BF16, count);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bits = arena.allocate(ValueLayout.JAVA_SHORT, count);
            for (long i = 0; i < count; i++) {
                bits.setAtIndex(ValueLayout.JAVA_SHORT, i, ONE);
            }
            ones.copyFrom(device, bits);
        }
        return ones;
    }

    private Tensor bfloat16(List<Long> shape) {
        Tensor weight = Tensor.allocate(device, DType.BF16, sizes(shape));
        long start = take(weight.size());
        for (long first = 0; first < weight.size(); first += Quantizer.PIECE) {
            long count = Math.min(Quantizer.PIECE, weight.size() - first);
            ops.elementwise().cast(noise.range((start + first) % period, count), weight.range(first, count));
        }
        return weight;
    }

    private Tensor quantized(String name, List<Long> shape) {
        long start = take(shape.stream().reduce(1L, Math::multiplyExact));
        Tensor weight = quantizer
                .quantize(name, shape, (first, count) -> noise.range((start + first) % period, count), device::allocate)
                .tensor(device);
        quantized++;
        listener.quantized(quantized, plan.count());
        return weight;
    }

    /** Where the next elements begin. */
    private long take(long elements) {
        long start = next;
        next = (next + wholeGrains(elements)) % period;
        return start;
    }

    private static long wholeGrains(long elements) {
        return Math.ceilDiv(elements, GRAIN) * GRAIN;
    }

    private static long[] sizes(List<Long> shape) {
        return shape.stream().mapToLong(Long::longValue).toArray();
    }

    @Override
    public void close() {
        loan.close();
    }
}
