package dev.loranative.benchmarks;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.util.Arrays;
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

/** What one kernel call costs from Java: with one element it is nearly all checks and downcall. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class DowncallBenchmark {

    static final float ALPHA = 0.5f;
    static final float BETA = 0.25f;

    @Param({"1", "1000"})
    public int elements;

    private Device device;
    private Ops ops;
    private Tensor x;
    private Tensor y;

    @Setup
    public void open() {
        device = CpuDevice.open(1);
        ops = new Ops(device);
        x = Tensor.allocate(device, DType.F32, elements);
        y = Tensor.allocate(device, DType.F32, elements);
        float[] ones = new float[elements];
        Arrays.fill(ones, 1);
        x.copyFrom(device, ones);
        y.copyFrom(device, ones);
    }

    /** {@code y = ALPHA * x + BETA * y}; y converges, so no value becomes denormal or infinite. */
    @Benchmark
    public void axpby() {
        ops.elementwise().axpby(ALPHA, x, BETA, y);
    }

    float[] answer() {
        return y.toFloats(device);
    }

    @TearDown
    public void close() {
        device.close();
    }
}
