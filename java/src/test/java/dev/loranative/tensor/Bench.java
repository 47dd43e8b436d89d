package dev.loranative.tensor;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.device.SimdTier;
import dev.loranative.tensor.cases.PlainFourBits;
import java.lang.foreign.MemorySegment;
import java.util.Random;

/** A device with its ops and a source of inputs that are the same in every run; for tests. */
public final class Bench implements AutoCloseable {

    private static final long SEED = 20;

    /** Elements of a 4-bit weight that share a scale: what bitsandbytes takes by itself. */
    private static final int BLOCK = 64;

    private final Device device;
    private final Ops ops;
    private final Random random;

    public Bench(SimdTier tier, int threads) {
        this(tier, threads, SEED);
    }

    public Bench(SimdTier tier, int threads, long seed) {
        this(CpuDevice.open(threads, tier), seed);
    }

    /** On a device of any kind, which is closed with the bench: the inputs are those of every other one. */
    public Bench(Device device) {
        this(device, SEED);
    }

    private Bench(Device device, long seed) {
        this.device = device;
        this.ops = new Ops(device);
        this.random = new Random(seed);
    }

    public Device device() {
        return device;
    }

    public Ops ops() {
        return ops;
    }

    public Random random() {
        return random;
    }

    /** Normally distributed numbers. */
    public float[] normal(long count) {
        float[] values = new float[Math.toIntExact(count)];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    public float[] normal(long count, double deviation) {
        float[] values = normal(count);
        for (int i = 0; i < values.length; i++) {
            values[i] *= (float) deviation;
        }
        return values;
    }

    public Tensor floats(float[] values, long... shape) {
        Tensor tensor = Tensor.allocate(device, DType.F32, shape);
        tensor.copyFrom(device, values);
        return tensor;
    }

    public Tensor ints(int[] values, long... shape) {
        Tensor tensor = Tensor.allocate(device, DType.I32, shape);
        tensor.copyFrom(device, values);
        return tensor;
    }

    /** Memory that holds NaN, so that an element that a kernel does not write, or reads too early, shows. */
    public Tensor unwritten(long... shape) {
        Tensor tensor = Tensor.allocate(device, DType.F32, shape);
        float[] values = new float[Math.toIntExact(tensor.size())];
        java.util.Arrays.fill(values, Float.NaN);
        tensor.copyFrom(device, values);
        return tensor;
    }

    /** A weight of any type; {@code values} are rounded to what it holds. */
    public Tensor weight(DType dtype, float[] values, long... shape) {
        if (dtype == DType.F32) {
            return floats(values, shape);
        }
        if (dtype.isQuantized()) {
            PlainFourBits plain = PlainFourBits.of(dtype, values, BLOCK);
            System.arraycopy(plain.values(), 0, values, 0, values.length);
            return fourBits(dtype, plain, shape);
        }
        short[] bits = new short[values.length];
        for (int i = 0; i < values.length; i++) {
            if (dtype == DType.F16) {
                bits[i] = Float.floatToFloat16(values[i]);
                values[i] = Float.float16ToFloat(bits[i]);
            } else {
                bits[i] = (short) (Float.floatToRawIntBits(values[i]) >>> 16);
                values[i] = Float.intBitsToFloat(bits[i] << 16);
            }
        }
        Tensor tensor = Tensor.allocate(device, dtype, shape);
        tensor.copyFrom(device, MemorySegment.ofArray(bits));
        return tensor;
    }

    public Tensor fourBits(DType dtype, PlainFourBits plain, long... shape) {
        Tensor codes = bytes(plain.codes());
        Tensor absmax = floats(plain.absmax(), plain.absmax().length);
        return new QuantizedParts(codes, absmax, null, null, plain.block(), 0, 0).weight(device, dtype, shape);
    }

    public Tensor bytes(byte[] values) {
        Tensor tensor = Tensor.allocate(device, DType.U8, values.length);
        tensor.copyFrom(device, values);
        return tensor;
    }

    public float[] read(Tensor tensor) {
        return tensor.toFloats(device);
    }

    @Override
    public void close() {
        device.close();
    }
}
