package dev.loranative.benchmarks;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.QuantizedParts;
import dev.loranative.tensor.Tensor;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * A frozen linear layer, {@code y = x . weight^T} and {@code dx = dy . weight}, by format of the weight and number of
 * tokens: one is generation, 512 a training step. The time of every call is sampled: on a machine that does other work
 * too, read the smallest and the median.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.SampleTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class LinearLayerBenchmark {

    private static final int BLOCK = 64;
    private static final int NESTED_BLOCK = 256;
    private static final int NESTED_CODES = 256;

    /** How the weight is stored; x, y and the gradients are float32. */
    public enum Storage {
        F32,
        BF16,
        NF4,
        /** NF4 with scales in 8 bits. */
        NF4_NESTED
    }

    @Param({"1", "4", "16", "64", "128", "512"})
    public int tokens;

    @Param({"2048"})
    public int width;

    @Param
    public Storage storage;

    @Param({"1"})
    public int threads;

    private Device device;
    private Ops ops;
    private Tensor x;
    private Tensor dy;
    private Tensor weight;
    private Tensor y;
    private Tensor dx;

    @Setup
    public void open() {
        device = CpuDevice.open(threads);
        ops = new Ops(device);
        SplittableRandom random = new SplittableRandom(1);
        x = uniform(random, tokens);
        dy = uniform(random, tokens);
        weight = stored(uniform(random, width));
        y = Tensor.allocate(device, DType.F32, tokens, width);
        dx = Tensor.allocate(device, DType.F32, tokens, width);
        ops.plan(() -> {
            forward();
            backward();
        });
        ops.seal();
    }

    @Benchmark
    public void forward() {
        ops.products().linearForward(x, null, weight, null, null, null, y);
    }

    @Benchmark
    public void backward() {
        ops.products().linearBackward(dy, x, null, weight, null, null, null, dx, null, false);
    }

    private Tensor uniform(SplittableRandom random, int rows) {
        Tensor tensor = Tensor.allocate(device, DType.F32, rows, width);
        float[] values = new float[rows * width];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextDouble(-1, 1);
        }
        tensor.copyFrom(device, values);
        return tensor;
    }

    private Tensor stored(Tensor values) {
        return switch (storage) {
            case F32 -> values;
            case BF16 -> {
                Tensor halves = Tensor.allocate(device, DType.BF16, width, width);
                ops.elementwise().cast(values, halves);
                yield halves;
            }
            case NF4, NF4_NESTED -> quantised(values, storage == Storage.NF4_NESTED);
        };
    }

    private Tensor quantised(Tensor values, boolean nested) {
        long blocks = (values.size() + BLOCK - 1) / BLOCK;
        Tensor codes = Tensor.allocate(device, DType.U8, (values.size() + 1) / 2);
        Tensor absmax = Tensor.allocate(device, DType.F32, blocks);
        ops.quantization().quantize(values, DType.NF4, BLOCK, codes, absmax);
        if (!nested) {
            return new QuantizedParts(codes, absmax, null, null, BLOCK, 0, 0).weight(device, DType.NF4, width, width);
        }
        Tensor absmaxCodes = Tensor.allocate(device, DType.U8, blocks);
        Tensor nestedAbsmax = Tensor.allocate(device, DType.F32, (blocks + NESTED_BLOCK - 1) / NESTED_BLOCK);
        Tensor nestedCode = Tensor.allocate(device, DType.F32, NESTED_CODES);
        nestedCode.copyFrom(device, evenCodes());
        float offset = ops.quantization().quantizeAbsmax(absmax, NESTED_BLOCK, nestedCode, absmaxCodes, nestedAbsmax);
        return new QuantizedParts(codes, absmaxCodes, nestedAbsmax, nestedCode, BLOCK, NESTED_BLOCK, offset)
                .weight(device, DType.NF4, width, width);
    }

    /** Which values they are makes no difference to the time. */
    private static float[] evenCodes() {
        float[] codes = new float[NESTED_CODES];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (i - 127) / 128f;
        }
        return codes;
    }

    /** The weight as the kernels see it. */
    float[] weight() {
        Tensor values = Tensor.allocate(device, DType.F32, width, width);
        if (weight.dtype() == DType.NF4) {
            ops.quantization().dequantize(weight, 0, values);
        } else {
            ops.elementwise().cast(weight, values);
        }
        return values.toFloats(device);
    }

    float[] input() {
        return x.toFloats(device);
    }

    float[] outputGradient() {
        return dy.toFloats(device);
    }

    float[] output() {
        return y.toFloats(device);
    }

    float[] inputGradient() {
        return dx.toFloats(device);
    }

    @TearDown
    public void close() {
        device.close();
    }
}
