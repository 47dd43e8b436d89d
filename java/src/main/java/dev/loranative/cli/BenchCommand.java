package dev.loranative.cli;

import dev.loranative.bench.KernelSpeed;
import dev.loranative.bench.ModelShape;
import dev.loranative.bench.QuickKernels;
import dev.loranative.bench.StepSpeed;
import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.Scalars;
import dev.loranative.config.TrainKeys;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import dev.loranative.device.MachinePeaks;
import dev.loranative.device.SimdTier;
import dev.loranative.errors.UserException;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine.Command;

/** {@code bench}: how fast this machine is, in under a minute. */
@Command(
        name = "bench",
        header = "how fast kernels and a train step are on this machine",
        customSynopsis = {
            "lora-native bench [--shape NAME] [--device NAME] [--threads N] [--json]",
            "       lora-native bench --model-config NAME|PATH --synthetic [--targets …] [--tokens …] [--json]"
        },
        description = {
            "Measures the main kernels and a train step of a model with random weights, and compares them with what the"
                    + " machine can do at best (CPUs only). Takes under a minute; other programs that compute at the same"
                    + " time spoil the figures.",
            "With --synthetic: trains a model of a published configuration, of any size, whose weights are made at random"
                    + " in the device's memory, and shows tokens per second and peak memory for each of several targets and"
                    + " numbers of tokens. What does not fit is a row that says so."
        })
final class BenchCommand extends EngineCommand {

    private static final String GROUP = "Measurement";

    static final Key<String> SHAPE = Key.of(
            GROUP,
            "shape",
            Scalars.choice(ModelShape.all().stream().map(ModelShape::name).toArray(String[]::new)),
            "moe-small",
            "model of the train step");

    static final Key<Double> SECONDS = Key.of(
            GROUP,
            "seconds",
            Scalars.number("a number above 0", value -> value > 0),
            0.5,
            "to spend on each kernel and each peak");

    static final Key<Integer> STEPS = Key.of(GROUP, "steps", Scalars.count(1), 8, "train steps to measure");

    private static final List<Key<?>> KEYS = Stream.of(
                    List.<Key<?>>of(SHAPE, STEPS, SECONDS),
                    SyntheticBench.KEYS,
                    List.<Key<?>>of(TrainKeys.DEVICE, TrainKeys.THREADS, TrainKeys.PRECISION, TrainKeys.GEMM))
            .flatMap(List::stream)
            .toList();

    private static final int BATCH = 2;
    private static final int LENGTH = 256;

    @Override
    List<Key<?>> keys() {
        return KEYS;
    }

    @Override
    List<String> examples() {
        return List.of(
                "bench",
                "bench --shape llama-small --threads 1",
                "bench --device cuda:0",
                "bench --json",
                "bench --model-config Qwen3-30B-A3B --synthetic --device cuda:0",
                "bench --model-config moe-small --synthetic --targets router,all --tokens 512 --steps 4");
    }

    @Override
    int run(ConfigValues values, Console console) {
        if (SyntheticBench.isAsked(values, List.of(SHAPE, SECONDS))) {
            return SyntheticBench.run(values, values.get(STEPS), console);
        }
        ModelShape shape = ModelShape.named(values.get(SHAPE));
        double seconds = values.get(SECONDS);
        String precision = values.get(TrainKeys.PRECISION);
        String gemm = values.get(TrainKeys.GEMM);
        BenchReport.Machine machine;
        Optional<MachinePeaks> peaks = Optional.empty();
        List<KernelSpeed> kernels;
        List<String> flags;
        try (Device device =
                Devices.open(values.get(TrainKeys.DEVICE), values.get(TrainKeys.THREADS), precision, gemm)) {
            console.warnOfUnusedGpu(device);
            machine = BenchReport.Machine.of(device);
            if (device instanceof CpuDevice cpu) {
                console.note("measuring the machine");
                peaks = peaks(cpu.simd(), cpu.threads(), seconds, console);
                flags = List.of("--device", "cpu", "--threads", "" + cpu.threads());
            } else {
                flags = List.of("--device", values.get(TrainKeys.DEVICE), "--precision", precision, "--gemm", gemm);
            }
            console.note("measuring kernels");
            kernels = QuickKernels.measure(device, seconds);
        }
        console.note("measuring train steps of " + shape.name());
        StepSpeed step = StepSpeed.measure(shape, BATCH, LENGTH, values.get(STEPS), flags);
        BenchReport report = new BenchReport(machine, peaks, kernels, step, BATCH, LENGTH);
        if (console.json()) {
            console.result(report.json());
        } else {
            report.text().forEach(console::result);
        }
        return 0;
    }

    /** Without them there are rates and no shares. */
    private static Optional<MachinePeaks> peaks(SimdTier simd, int threads, double seconds, Console console) {
        try {
            return Optional.of(MachinePeaks.measure(simd, threads, seconds));
        } catch (UserException e) {
            console.warning(e.getMessage() + "; " + e.hint());
            return Optional.empty();
        }
    }
}
