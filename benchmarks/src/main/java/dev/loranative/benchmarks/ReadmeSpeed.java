package dev.loranative.benchmarks;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The speed section of the README, made from the newest result files. {@code benchmarks/readme} writes it; a test checks
 * that what stands there is what the files say.
 */
public final class ReadmeSpeed {

    static final String BEGIN = "<!-- speed: made by benchmarks/readme from benchmarks/results; do not edit -->";
    static final String END = "<!-- end of speed -->";

    static final String NOTHING_YET = """
            No measurement is committed yet. `./lora-native bench` measures this machine in under a minute; `benchmarks/run` (every
            kernel, whole steps) and `benchmarks/peers/run` (against transformers + PEFT) make the tables for this place:
            [docs/benchmarks.md](docs/benchmarks.md).
            """;

    private static final JsonMapper JSON = JsonMapper.shared();

    private ReadmeSpeed() {}

    /** Rewrites README.md of the folder it is run in. */
    public static void main(String[] args) throws IOException {
        Path readme = Path.of("README.md");
        Files.writeString(readme, replaced(Files.readString(readme), section(Path.of("benchmarks", "results"))));
    }

    /** @throws IllegalArgumentException if the text has no place for the section, or more than one */
    static String replaced(String readme, String section) {
        int begin = readme.indexOf(BEGIN);
        int end = readme.indexOf(END);
        if (begin < 0 || end < begin || readme.indexOf(BEGIN, begin + 1) >= 0) {
            throw new IllegalArgumentException("README.md must hold once:\n" + BEGIN + "\n" + END);
        }
        return readme.substring(0, begin + BEGIN.length()) + "\n\n" + section + "\n" + readme.substring(end);
    }

    static String section(Path results) throws IOException {
        Optional<Path> peers = newest(results, "peers");
        Optional<Path> kernels = newest(results, "kernels");
        if (peers.isEmpty() && kernels.isEmpty()) {
            return NOTHING_YET;
        }
        List<String> lines = new ArrayList<>();
        if (peers.isPresent()) {
            peers(lines, JSON.readTree(peers.get().toFile()), link(peers.get()));
        }
        if (kernels.isPresent()) {
            if (!lines.isEmpty()) {
                lines.add("");
            }
            kernels(lines, JSON.readTree(kernels.get().toFile()), link(kernels.get()));
        }
        Optional<Path> sweep = newest(results, "sweep");
        if (sweep.isPresent()) {
            lines.add("");
            lines.add("How speed and memory go with sequence length: " + link(sweep.get()) + ".");
        }
        return String.join("\n", lines) + "\n";
    }

    /** Names end with the date, so the last one is the newest. */
    private static Optional<Path> newest(Path results, String kind) throws IOException {
        if (!Files.isDirectory(results)) {
            return Optional.empty();
        }
        try (Stream<Path> files = Files.list(results)) {
            return files.filter(file -> file.getFileName().toString().matches(kind + "-\\d{4}-\\d{2}-\\d{2}\\.json"))
                    .max(Comparator.comparing(file -> file.getFileName().toString()));
        }
    }

    private static String link(Path json) {
        String name = json.getFileName().toString().replaceFirst("\\.json$", "");
        return "[" + name + "](benchmarks/results/" + name + ".md)";
    }

    private static String where(JsonNode results) {
        return "%s, %s processors, %s, commit %s"
                .formatted(
                        results.required("processor").asString(),
                        results.required("processors").asInt(),
                        results.required("date").asString(),
                        results.required("commit").asString());
    }

    private static void peers(List<String> lines, JsonNode results, String link) {
        JsonNode torch = results.required("rows").required(0).required("peft_settings");
        lines.add(
                "Against transformers %s + PEFT %s on torch %s, the same training on both sides, %d threads, float32 arithmetic"
                        .formatted(
                                torch.required("transformers").asString(),
                                torch.required("peft").asString(),
                                torch.required("torch").asString(),
                                results.required("settings").required("threads").asInt()));
        lines.add("(" + where(results) + "; " + link + "):");
        lines.add("");
        lines.add("| model | weights | trained | tokens/s | PEFT | times as fast | peak memory | PEFT |");
        lines.add("|---|---|---|--:|--:|--:|--:|--:|");
        for (JsonNode row : results.required("rows")) {
            JsonNode ours = row.required("lora_native");
            JsonNode theirs = row.required("peft");
            lines.add(String.format(
                    Locale.ROOT,
                    "| %s | %s | %s | %,.0f | %,.0f | %.2f | %,.0f MiB | %,.0f MiB |",
                    row.required("model").asString(),
                    row.required("weights").asString(),
                    row.required("targets").asString(),
                    ours.required("tokens_per_second").asDouble(),
                    theirs.required("tokens_per_second").asDouble(),
                    row.required("speed_ratio").asDouble(),
                    ours.required("peak_bytes").asDouble() / (1 << 20),
                    theirs.required("peak_bytes").asDouble() / (1 << 20)));
        }
    }

    private static void kernels(List<String> lines, JsonNode results, String link) {
        lines.add("Against what the machine can do (" + where(results) + "; " + link + "):");
        lines.add("");
        lines.add("| | threads | GFLOP/s | of the measured peak |");
        lines.add("|---|--:|--:|--:|");
        for (JsonNode op : results.required("ops")) {
            String name = op.required("name").asString();
            if (name.startsWith("linear_fwd 512x1024x1024") && !name.contains(" r")) {
                lines.add(row("`" + name + "`", op));
            }
        }
        for (JsonNode step : results.required("steps")) {
            lines.add(row("train step, " + step.required("shape").asString(), step));
        }
    }

    private static String row(String name, JsonNode measured) {
        return String.format(
                Locale.ROOT,
                "| %s | %d | %.0f | %.0f %% |",
                name,
                measured.required("threads").asInt(),
                measured.required("flops_per_second").asDouble() / 1e9,
                100 * measured.required("share_of_peak").asDouble());
    }
}
