package dev.loranative.benchmarks;

import dev.loranative.bench.ModelShape;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.MachinePeaks;
import dev.loranative.device.SimdTier;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;

/**
 * Measures the machine's peaks, every row of the table that is there to be timed, what a downcall costs, and whole train
 * steps; writes a table for people and the same as JSON. {@code benchmarks/run} starts it.
 */
public final class Suite {

    private final SuiteOptions options;
    private final List<MachinePeaks> peaks = new ArrayList<>();
    private final List<OpResult> ops = new ArrayList<>();
    private final List<StepResult> steps = new ArrayList<>();
    private double downcallNanos = Double.NaN;

    private Suite(SuiteOptions options) {
        this.options = options;
    }

    public static void main(String[] args) throws RunnerException {
        if (List.of(args).contains("--help")) {
            System.out.print(SuiteOptions.USAGE);
            return;
        }
        SuiteOptions options;
        try {
            options = SuiteOptions.parse(List.of(args));
        } catch (IllegalArgumentException e) {
            System.err.println("error: " + e.getMessage() + "\n" + SuiteOptions.USAGE);
            System.exit(2);
            return;
        }
        Suite suite = new Suite(options);
        try {
            Files.createDirectories(options.output());
            if (!Files.isWritable(options.output())) {
                throw new AccessDeniedException(options.output().toString());
            }
        } catch (IOException e) {
            System.err.println("error: --output " + options.output() + " cannot be written to: " + e
                    + "\nhint: name a folder that can");
            System.exit(2);
        }
        if (suite.cases().isEmpty() && suite.shapes().isEmpty() && !options.wants("downcall")) {
            System.err.println("error: no row contains a match of --only '" + options.only()
                    + "'\nhint: names are those of benchmarks/results/kernels-*.md, 'downcall', and 'step SHAPE'");
            System.exit(2);
        }
        suite.run();
        SuiteResults results = new SuiteResults(
                Machine.here(), suite.simd(), options, suite.peaks, suite.downcallNanos, suite.ops, suite.steps);
        results.write(options.output()).forEach(file -> System.out.println("wrote " + file));
    }

    private List<String> cases() {
        return OpCases.of(OpCase.Use.TIME).stream()
                .map(OpCase::name)
                .filter(options::wants)
                .toList();
    }

    private List<String> shapes() {
        return ModelShape.all().stream()
                .map(ModelShape::name)
                .filter(name -> options.wants("step " + name))
                .toList();
    }

    private void run() throws RunnerException {
        List<String> cases = cases();
        List<String> shapes = shapes();
        for (int threads : options.threads()) {
            // Before and after: on a machine whose clock changes the better one is the fairer one.
            MachinePeaks before = MachinePeaks.measure(simd(), threads, 1);
            if (!cases.isEmpty()) {
                collectOps(jmh(OpBenchmark.class)
                        .param("opCase", cases.toArray(String[]::new))
                        .param("threads", "" + threads)
                        .build());
            }
            peaks.add(better(before, MachinePeaks.measure(simd(), threads, 1)));
        }
        if (options.wants("downcall")) {
            downcallNanos = run(jmh(DowncallBenchmark.class)
                            .param("elements", "1")
                            .build())
                    .iterator()
                    .next()
                    .getPrimaryResult()
                    .getScore();
        }
        if (!shapes.isEmpty()) {
            String threads = "" + options.threads().getLast();
            collectSteps(new OptionsBuilder()
                    .include(StepBenchmark.class.getName() + ".step")
                    .param("shape", shapes.toArray(String[]::new))
                    .param("threads", threads)
                    .measurementIterations(2 * options.iterations())
                    .build());
        }
    }

    private SimdTier simd() {
        try (CpuDevice device = CpuDevice.open(1)) {
            return device.simd();
        }
    }

    private ChainedOptionsBuilder jmh(Class<?> benchmark) {
        TimeValue time = TimeValue.microseconds(Math.round(options.seconds() * 1e6));
        return new OptionsBuilder()
                .include(benchmark.getName() + "\\.")
                .warmupTime(time)
                .measurementTime(time)
                .measurementIterations(options.iterations());
    }

    private static Collection<RunResult> run(Options jmh) throws RunnerException {
        return new Runner(jmh).run();
    }

    private void collectOps(Options jmh) throws RunnerException {
        for (RunResult result : run(jmh)) {
            OpCase row = OpCases.named(result.getParams().getParam("opCase"));
            int threads = Integer.parseInt(result.getParams().getParam("threads"));
            Result<?> score = result.getPrimaryResult();
            ops.add(new OpResult(row, threads, score.getStatistics().getPercentile(50), score.getScoreError()));
        }
    }

    private void collectSteps(Options jmh) throws RunnerException {
        for (RunResult result : run(jmh)) {
            double bytes = result.getSecondaryResults().values().stream()
                    .filter(counter -> counter.getLabel().endsWith("bytes"))
                    .mapToDouble(counter -> counter.getStatistics().getMax())
                    .max()
                    .orElseThrow();
            steps.add(new StepResult(
                    result.getParams().getParam("shape"),
                    Integer.parseInt(result.getParams().getParam("threads")),
                    Integer.parseInt(result.getParams().getParam("batch")),
                    Integer.parseInt(result.getParams().getParam("length")),
                    result.getPrimaryResult().getStatistics().getPercentile(50),
                    (long) bytes));
        }
    }

    private static MachinePeaks better(MachinePeaks a, MachinePeaks b) {
        return new MachinePeaks(
                a.simd(),
                a.threads(),
                Math.max(a.flopsPerSecond(), b.flopsPerSecond()),
                Math.max(a.readBytesPerSecond(), b.readBytesPerSecond()),
                Math.max(a.copyBytesPerSecond(), b.copyBytesPerSecond()),
                Math.max(a.triadBytesPerSecond(), b.triadBytesPerSecond()));
    }
}
