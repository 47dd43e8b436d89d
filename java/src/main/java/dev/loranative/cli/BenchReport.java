package dev.loranative.cli;

import dev.loranative.bench.KernelSpeed;
import dev.loranative.bench.StepSpeed;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.device.MachinePeaks;
import dev.loranative.device.SimdTier;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** What {@code bench} found, for people and as JSON. */
record BenchReport(
        Machine machine,
        Optional<MachinePeaks> peaks,
        List<KernelSpeed> kernels,
        StepSpeed step,
        int batch,
        int length) {

    /**
     * What computed.
     *
     * @param device for people
     * @param simd empty on a GPU
     * @param threads 0 on a GPU
     */
    record Machine(String device, Optional<SimdTier> simd, int threads) {

        static Machine of(Device device) {
            return device instanceof CpuDevice cpu
                    ? new Machine(device.description(), Optional.of(cpu.simd()), cpu.threads())
                    : new Machine(device.description(), Optional.empty(), 0);
        }
    }

    List<String> text() {
        List<String> lines = new ArrayList<>();
        lines.add("machine  " + machine.device() + "; "
                + peaks.map(BenchReport::peaksText).orElse("peaks not measured"));
        lines.add("");
        TextTable table = new TextTable("", false, false, true, true, true, true, false);
        table.row("kernel", "size", "time", "GFLOP/s", "GB/s", "of peak", "bound by");
        for (KernelSpeed kernel : kernels) {
            table.row(
                    kernel.name(),
                    kernel.shape(),
                    time(kernel.seconds()),
                    number(kernel.flopsPerSecond() / 1e9),
                    number(kernel.bytesPerSecond() / 1e9),
                    peaks.map(best -> percent(kernel.share(best.flopsPerSecond(), best.bytesPerSecond())))
                            .orElse("?"),
                    peaks.map(best -> kernel.isBoundByMemory(best.flopsPerSecond(), best.bytesPerSecond())
                                    ? "memory"
                                    : "arithmetic")
                            .orElse(""));
        }
        lines.addAll(table.lines());
        if (isAnyAbovePeak()) {
            lines.add("More than 100 % of memory's peak: what the kernel works on was in the caches.");
        }
        lines.add("");
        lines.add("train step of " + step.shape() + " (" + Quantities.count(step.parameters()) + " parameters), "
                + batch + " x " + length + " tokens, LoRA of rank 8 on attention:");
        lines.add("  " + Quantities.rate(step.tokensPerSecond()) + " tokens/s, " + time(step.stepSeconds())
                + " a step, "
                + number(step.flopsPerSecond() / 1e9) + " GFLOP/s"
                + peaks.map(best -> " (" + percent(step.flopsPerSecond() / best.flopsPerSecond()) + " of peak)")
                        .orElse("")
                + ", " + Quantities.bytes(step.memoryBytes())
                + (machine.simd().isPresent() ? " resident" : " of the GPU") + ", first step after "
                + time(step.firstStepSeconds()));
        return lines;
    }

    private boolean isAnyAbovePeak() {
        return peaks.isPresent()
                && kernels.stream()
                        .anyMatch(kernel -> kernel.share(
                                        peaks.get().flopsPerSecond(),
                                        peaks.get().bytesPerSecond())
                                > 1);
    }

    private static String peaksText(MachinePeaks best) {
        return "at best " + number(best.flopsPerSecond() / 1e9) + " GFLOP/s of multiply-adds, "
                + number(best.bytesPerSecond() / 1e9) + " GB/s of memory";
    }

    ObjectNode json() {
        ObjectNode json = Console.JSON.createObjectNode().put("device", machine.device());
        machine.simd().ifPresent(tier -> json.put("simd", word(tier)).put("threads", machine.threads()));
        peaks.ifPresent(best -> json.putObject("peaks")
                .put("flops_per_second", best.flopsPerSecond())
                .put("read_bytes_per_second", best.readBytesPerSecond())
                .put("copy_bytes_per_second", best.copyBytesPerSecond())
                .put("triad_bytes_per_second", best.triadBytesPerSecond()));
        ArrayNode list = json.putArray("kernels");
        for (KernelSpeed kernel : kernels) {
            ObjectNode node = list.addObject()
                    .put("name", kernel.name())
                    .put("shape", kernel.shape())
                    .put("seconds", kernel.seconds())
                    .put("flops_per_second", kernel.flopsPerSecond())
                    .put("bytes_per_second", kernel.bytesPerSecond());
            peaks.ifPresent(best -> node.put(
                            "share_of_peak", kernel.share(best.flopsPerSecond(), best.bytesPerSecond()))
                    .put(
                            "bound_by",
                            kernel.isBoundByMemory(best.flopsPerSecond(), best.bytesPerSecond())
                                    ? "memory"
                                    : "arithmetic"));
        }
        ObjectNode node = json.putObject("train_step")
                .put("shape", step.shape())
                .put("parameters", step.parameters())
                .put("batch_size", batch)
                .put("sequence_length", length)
                .put("tokens_per_second", step.tokensPerSecond())
                .put("step_seconds", step.stepSeconds())
                .put("flops_per_second", step.flopsPerSecond())
                .put("memory_bytes", step.memoryBytes())
                .put("first_step_seconds", step.firstStepSeconds());
        peaks.ifPresent(best -> node.put("share_of_peak", step.flopsPerSecond() / best.flopsPerSecond()));
        return json;
    }

    private static String word(SimdTier tier) {
        return tier.name().toLowerCase(Locale.ROOT);
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value);
    }

    private static String percent(double share) {
        return String.format(Locale.ROOT, "%.0f %%", 100 * share);
    }

    private static String time(double seconds) {
        if (seconds < 1e-3) {
            return String.format(Locale.ROOT, "%.1f us", seconds * 1e6);
        }
        return seconds < 1
                ? String.format(Locale.ROOT, "%.2f ms", seconds * 1e3)
                : String.format(Locale.ROOT, "%.2f s", seconds);
    }
}
