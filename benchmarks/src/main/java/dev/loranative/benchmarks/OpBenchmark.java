package dev.loranative.benchmarks;

import dev.loranative.device.Devices;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import dev.loranative.tensor.cases.OpRun;
import dev.loranative.tensor.cases.Output;
import java.util.List;
import java.util.Optional;
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
 * One row of the table of op cases. The suite gives the names of all rows to time; by itself JMH times the first ones. On a
 * GPU a call is waited for: launching and waiting are in the time, some ten microseconds.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 2, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 5, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class OpBenchmark {

    @Param({"linear_fwd 512x1024x1024", "linear_fwd 512x1024x1024 bf16"})
    public String opCase;

    @Param({"1"})
    public int threads;

    /** As {@code --device}. */
    @Param({"cpu"})
    public String device;

    private Bench bench;
    private OpRun run;

    @Setup
    public void open() {
        OpCase row = OpCases.named(opCase);
        bench = new Bench(Devices.open(device, threads));
        run = row.on(bench);
    }

    @Benchmark
    public void call() {
        run.run();
        bench.device().synchronise();
    }

    /** What is wrong after exactly one call; empty if nothing is. */
    List<String> mistakes() {
        return run.outputs().stream()
                .map((Output output) -> output.mismatch(bench.device()))
                .flatMap(Optional::stream)
                .toList();
    }

    @TearDown
    public void close() {
        bench.close();
    }
}
