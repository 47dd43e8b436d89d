package dev.loranative.benchmarks;

import dev.loranative.device.MachinePeaks;
import dev.loranative.device.SimdTier;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** What the suite found: {@code kernels-DATE.json}, or {@code kernels-part-DATE.json}, and the same as Markdown. */
record SuiteResults(
        Machine machine,
        SimdTier simd,
        SuiteOptions options,
        List<MachinePeaks> peaks,
        double downcallNanos,
        List<OpResult> ops,
        List<StepResult> steps) {

    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    /** @return the files */
    List<Path> write(Path folder) {
        String name = (options.isPart() ? "kernels-part-" : "kernels-") + machine.date();
        Path json = folder.resolve(name + ".json");
        Path text = folder.resolve(name + ".md");
        try {
            Files.createDirectories(folder);
            Files.writeString(json, JSON.writeValueAsString(json()) + "\n");
            Files.writeString(text, markdown());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return List.of(json, text);
    }

    private MachinePeaks peaks(int threads) {
        return peaks.stream()
                .filter(measured -> measured.threads() == threads)
                .findFirst()
                .orElseThrow();
    }

    ObjectNode json() {
        ObjectNode json = JSON.createObjectNode()
                .put("date", machine.date())
                .put("commit", machine.commit())
                .put("processor", machine.processor())
                .put("processors", machine.processors())
                .put("system", machine.system())
                .put("java", machine.java())
                .put("simd", simd.name().toLowerCase(Locale.ROOT))
                .put("iterations", options.iterations())
                .put("iteration_seconds", options.seconds());
        ArrayNode peakNodes = json.putArray("peaks");
        for (MachinePeaks peak : peaks) {
            peakNodes
                    .addObject()
                    .put("threads", peak.threads())
                    .put("flops_per_second", peak.flopsPerSecond())
                    .put("read_bytes_per_second", peak.readBytesPerSecond())
                    .put("copy_bytes_per_second", peak.copyBytesPerSecond())
                    .put("triad_bytes_per_second", peak.triadBytesPerSecond());
        }
        if (Double.isFinite(downcallNanos)) {
            json.put("downcall_ns", downcallNanos);
        }
        ArrayNode opNodes = json.putArray("ops");
        for (OpResult op : ops) {
            ObjectNode node = opNodes.addObject()
                    .put("family", op.opCase().family().name().toLowerCase(Locale.ROOT))
                    .put("name", op.opCase().name())
                    .put("threads", op.threads())
                    .put("ns", op.nanos())
                    .put("flops_per_second", op.flopsPerSecond())
                    .put("bytes_per_second", op.bytesPerSecond())
                    .put("share_of_peak", op.share(peaks(op.threads())))
                    .put("bound_by", bound(op));
            if (Double.isFinite(op.errorNanos())) {
                node.put("error_ns", op.errorNanos());
            }
        }
        ArrayNode stepNodes = json.putArray("steps");
        for (StepResult step : steps) {
            stepNodes
                    .addObject()
                    .put("shape", step.shape())
                    .put("threads", step.threads())
                    .put("batch_size", step.batch())
                    .put("sequence_length", step.length())
                    .put("ns", step.nanos())
                    .put("tokens_per_second", step.tokensPerSecond())
                    .put("flops_per_second", step.flopsPerSecond())
                    .put(
                            "share_of_peak",
                            step.flopsPerSecond() / peaks(step.threads()).flopsPerSecond())
                    .put("memory_bytes", step.memoryBytes());
        }
        return json;
    }

    private String bound(OpResult op) {
        return op.isBoundByMemory(peaks(op.threads())) ? "memory" : "arithmetic";
    }

    String markdown() {
        StringBuilder text = new StringBuilder("# Kernels and train steps, " + machine.date() + "\n\n");
        text.append(
                "Made by `benchmarks/run`; what the columns mean is in [docs/benchmarks.md](../../docs/benchmarks.md).\n\n");
        text.append("- commit ").append(machine.commit()).append('\n');
        text.append("- ").append(machine.processor()).append(", ").append(machine.processors());
        text.append(" processors, SIMD tier ")
                .append(simd.name().toLowerCase(Locale.ROOT))
                .append('\n');
        text.append("- ")
                .append(machine.system())
                .append("; ")
                .append(machine.java())
                .append('\n');
        text.append(String.format(
                Locale.ROOT, "- median of %d iterations of %.2f s\n", options.iterations(), options.seconds()));
        for (MachinePeaks peak : peaks) {
            text.append(String.format(
                    Locale.ROOT,
                    "- peaks with %d thread%s: %.1f GFLOP/s of multiply-adds; memory %.1f GB/s read, %.1f copy, %.1f triad\n",
                    peak.threads(),
                    peak.threads() == 1 ? "" : "s",
                    peak.flopsPerSecond() / 1e9,
                    peak.readBytesPerSecond() / 1e9,
                    peak.copyBytesPerSecond() / 1e9,
                    peak.triadBytesPerSecond() / 1e9));
        }
        if (Double.isFinite(downcallNanos)) {
            text.append(String.format(
                    Locale.ROOT, "- a call of a kernel on one element, checks and downcall: %.0f ns\n", downcallNanos));
        }
        steps(text);
        ops(text);
        return text.toString();
    }

    private void steps(StringBuilder text) {
        if (steps.isEmpty()) {
            return;
        }
        text.append("\n## Train steps\n\n");
        text.append("| model | threads | tokens | step | tokens/s | GFLOP/s | of peak | resident |\n");
        text.append("|---|--:|--:|--:|--:|--:|--:|--:|\n");
        for (StepResult step : steps) {
            text.append(String.format(
                    Locale.ROOT,
                    "| %s | %d | %d x %d | %.1f ms | %,.0f | %.1f | %.0f %% | %.0f MiB |\n",
                    step.shape(),
                    step.threads(),
                    step.batch(),
                    step.length(),
                    step.nanos() / 1e6,
                    step.tokensPerSecond(),
                    step.flopsPerSecond() / 1e9,
                    100 * step.flopsPerSecond() / peaks(step.threads()).flopsPerSecond(),
                    step.memoryBytes() / 1048576.0));
        }
    }

    private void ops(StringBuilder text) {
        String family = "";
        for (OpResult op : ops.stream()
                .sorted(Comparator.comparing(
                        (OpResult result) -> result.opCase().family()))
                .toList()) {
            String next = op.opCase().family().name().toLowerCase(Locale.ROOT).replace('_', ' ');
            if (!next.equals(family)) {
                family = next;
                text.append("\n## ").append(family).append("\n\n");
                text.append("| op | threads | time | ± | GFLOP/s | GB/s | of peak | bound by |\n");
                text.append("|---|--:|--:|--:|--:|--:|--:|---|\n");
            }
            text.append(String.format(
                    Locale.ROOT,
                    "| %s | %d | %.2f us | %s | %.2f | %.2f | %.0f %% | %s |\n",
                    op.opCase().name(),
                    op.threads(),
                    op.nanos() / 1e3,
                    Double.isFinite(op.errorNanos())
                            ? String.format(Locale.ROOT, "%.0f %%", 100 * op.errorNanos() / op.nanos())
                            : "",
                    op.flopsPerSecond() / 1e9,
                    op.bytesPerSecond() / 1e9,
                    100 * op.share(peaks(op.threads())),
                    bound(op)));
        }
    }
}
