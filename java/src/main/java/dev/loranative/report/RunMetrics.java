package dev.loranative.report;

import dev.loranative.errors.UserException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What {@code metrics.jsonl} holds: the whole run, its earlier parts included.
 *
 * @param steps in the order of the file
 * @param evaluations in the order of the file
 * @param unreadableLines lines that are not what this engine writes, such as one that a crash cut short
 */
public record RunMetrics(List<Step> steps, List<Evaluation> evaluations, int unreadableLines) {

    private static final JsonMapper JSON = JsonMapper.shared();

    public RunMetrics {
        steps = List.copyOf(steps);
        evaluations = List.copyOf(evaluations);
    }

    /** One optimizer step; a value that its line lacks is NaN. Units are in the names; {@code tokens} may be NaN too. */
    public record Step(
            int step,
            double epoch,
            double loss,
            double auxLoss,
            double zLoss,
            double gradNorm,
            double learningRate,
            double tokens,
            double tokensPerSecond,
            double stepMillis,
            double memoryBytes) {}

    /** @param step after which it was made */
    public record Evaluation(int step, double loss) {}

    /**
     * Reads the file; one that is not there holds nothing.
     *
     * @throws UserException if the disk refuses
     */
    public static RunMetrics read(Path file) {
        List<Step> steps = new ArrayList<>();
        List<Evaluation> evaluations = new ArrayList<>();
        int unreadable = 0;
        if (Files.exists(file)) {
            try (BufferedReader lines =
                    new BufferedReader(new InputStreamReader(Files.newInputStream(file), StandardCharsets.UTF_8))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    unreadable += add(line, steps, evaluations) ? 0 : 1;
                }
            } catch (IOException e) {
                throw UserException.failed(
                        "cannot read " + file + ": " + e.getMessage(), "check that output_dir is readable");
            }
        }
        return new RunMetrics(steps, evaluations, unreadable);
    }

    private static boolean add(String text, List<Step> steps, List<Evaluation> evaluations) {
        JsonNode line;
        try {
            line = JSON.readTree(text);
        } catch (JacksonException e) {
            return false;
        }
        int step = line.path("step").asInt(0);
        if (step < 1) {
            return false;
        }
        if (line.has("eval_loss")) {
            evaluations.add(new Evaluation(step, number(line, "eval_loss")));
        } else {
            steps.add(new Step(
                    step,
                    number(line, "epoch"),
                    number(line, "loss"),
                    number(line, "aux_loss"),
                    number(line, "z_loss"),
                    number(line, "grad_norm"),
                    number(line, "learning_rate"),
                    number(line, "tokens"),
                    number(line, "tokens_per_second"),
                    number(line, "step_ms"),
                    number(line, "memory_bytes")));
        }
        return true;
    }

    /** JSON has no infinities; they are written as texts. */
    private static double number(JsonNode line, String key) {
        JsonNode value = line.path(key);
        if (value.isNumber()) {
            return value.doubleValue();
        }
        return switch (value.isString() ? value.stringValue() : "") {
            case "Infinity" -> Double.POSITIVE_INFINITY;
            case "-Infinity" -> Double.NEGATIVE_INFINITY;
            default -> Double.NaN;
        };
    }

    Series series(ToDoubleFunction<Step> value) {
        return new Series(
                steps.stream().mapToInt(Step::step).toArray(),
                steps.stream().mapToDouble(value).toArray());
    }

    Series evaluationLosses() {
        return new Series(
                evaluations.stream().mapToInt(Evaluation::step).toArray(),
                evaluations.stream().mapToDouble(Evaluation::loss).toArray());
    }

    /** Tokens of all steps. */
    double tokens() {
        return steps.stream().mapToDouble(Step::tokens).filter(Double::isFinite).sum();
    }

    /** Seconds spent in optimizer steps, evaluations and checkpoints not counted. */
    double seconds() {
        return steps.stream()
                        .mapToDouble(Step::stepMillis)
                        .filter(Double::isFinite)
                        .sum()
                / 1000;
    }
}
