package dev.loranative.benchmarks;

import dev.loranative.bench.ModelShape;
import dev.loranative.bench.RandomData;
import dev.loranative.bench.StepSpeed;
import dev.loranative.bench.SteppedTraining;
import dev.loranative.bench.TemporaryFolder;
import dev.loranative.train.StepMetrics;
import java.nio.file.Path;
import java.util.List;
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

/** A whole train step of the real trainer: LoRA of rank 8 on attention, 2 x 256 tokens, AdamW, clipping. */
@State(Scope.Thread)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3)
@Measurement(iterations = 10)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
public class StepBenchmark {

    private static final int SAMPLES = 64;

    @Param({"moe-small", "llama-small", "moe-medium", "llama-medium"})
    public String shape;

    @Param({"2"})
    public int batch;

    @Param({"256"})
    public int length;

    @Param({"2"})
    public int threads;

    /** As {@code --device}. */
    @Param({"cpu"})
    public String device;

    private TemporaryFolder folder;
    private SteppedTraining run;

    /** After a step: resident memory of the process, or what it holds of the GPU's. */
    @AuxCounters(AuxCounters.Type.EVENTS)
    @State(Scope.Thread)
    public static class Memory {
        public long bytes;
    }

    @Setup
    public void open() {
        ModelShape model = ModelShape.named(shape);
        folder = TemporaryFolder.create();
        Path path = folder.path();
        Path data = path.resolve("data.jsonl");
        model.write(path);
        RandomData.write(data, model.config().vocabSize(), SAMPLES, length);
        run = SteppedTraining.start(path, data, path.resolve("output"), flags());
    }

    private List<String> flags() {
        return StepSpeed.flags(batch, length, List.of("--device", device, "--threads", "" + threads));
    }

    @Benchmark
    public StepMetrics step(Memory memory) {
        StepMetrics step = run.step();
        memory.bytes = step.memoryBytes();
        return step;
    }

    @TearDown
    public void close() {
        run.close();
        folder.close();
    }
}
