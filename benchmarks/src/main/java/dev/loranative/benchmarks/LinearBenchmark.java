package dev.loranative.benchmarks;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
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

/** A frozen linear layer's product, {@code c = x . weight^T}, as a step (many tokens) and a generated token (one) need it. */
@State(Scope.Thread)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class LinearBenchmark {

    @Param({"1", "33", "512"})
    public int tokens;

    @Param({"1024"})
    public int width;

    /** The weight's; x and c are float32. */
    @Param({"F32", "BF16"})
    public DType dtype;

    @Param({"1"})
    public int threads;

    private Device device;
    private Ops ops;
    private Tensor x;
    private Tensor weight;
    private Tensor c;

    /** Floating-point operations, which JMH divides by the time: read the counter as FLOP/s. */
    @AuxCounters
    @State(Scope.Thread)
    public static class Work {
        public long flops;
    }

    @Setup
    public void open() {
        device = CpuDevice.open(threads);
        ops = new Ops(device);
        x = Tensor.allocate(device, DType.F32, tokens, width);
        weight = Tensor.allocate(device, dtype, width, width);
        c = Tensor.allocate(device, DType.F32, tokens, width);
        SplittableRandom random = new SplittableRandom(1);
        x.copyFrom(device, uniform(random, tokens * width));
        Tensor values = Tensor.allocate(device, DType.F32, width, width);
        values.copyFrom(device, uniform(random, width * width));
        ops.elementwise().cast(values, weight);
        ops.plan(this::multiply);
        ops.seal();
    }

    @Benchmark
    public void product(Work work) {
        multiply();
        work.flops += 2L * tokens * width * width;
    }

    private void multiply() {
        ops.products().matmul(x, false, weight, true, c, 1, 0);
    }

    float[] input() {
        return x.toFloats(device);
    }

    /** The weight as the kernel sees it: rounded to its type. */
    float[] weight() {
        Tensor values = Tensor.allocate(device, DType.F32, width, width);
        ops.elementwise().cast(weight, values);
        return values.toFloats(device);
    }

    float[] answer() {
        return c.toFloats(device);
    }

    @TearDown
    public void close() {
        device.close();
    }

    private static float[] uniform(SplittableRandom random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextDouble(-1, 1);
        }
        return values;
    }
}
