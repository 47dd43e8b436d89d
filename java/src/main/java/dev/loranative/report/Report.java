package dev.loranative.report;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.report.ReportData.Fact;
import dev.loranative.report.ReportData.Outcome;
import dev.loranative.report.ReportData.Setting;
import dev.loranative.report.RunMetrics.Step;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.List;
import java.util.Locale;

/**
 * {@code report.html}: a run as one page, for people. It contains all that it needs; a policy in its head forbids the
 * browser every connection and every script but its own one, whose only task is to read values off the charts.
 */
public final class Report {

    private static final String STYLE = resource("report.css");
    private static final String SCRIPT = resource("report.js");
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm", Locale.ROOT).withZone(ZoneOffset.UTC);

    private final ReportData data;
    private final RunMetrics metrics;
    private final Html html = new Html();

    private Report(ReportData data) {
        this.data = data;
        this.metrics = data.metrics();
    }

    /**
     * Writes the page, complete or not at all.
     *
     * @throws dev.loranative.errors.UserException if the disk refuses
     */
    public static void write(Path file, ReportData data) {
        AtomicFiles.writeString(file, html(data));
    }

    /** The page; the same data give the same text. */
    static String html(ReportData data) {
        return new Report(data).page();
    }

    private String page() {
        html.trusted("<!DOCTYPE html>\n")
                .open("html", "lang", "en")
                .open("head")
                .line();
        html.empty("meta", "charset", "utf-8").line();
        html.empty("meta", "http-equiv", "Content-Security-Policy", "content", policy())
                .line();
        html.empty("meta", "name", "viewport", "content", "width=device-width, initial-scale=1")
                .line();
        html.element("title", data.model() + " – training report").line();
        html.open("style").trusted(STYLE).close().line().close().line();
        html.open("body").line();
        header();
        html.open("main").line();
        section("Curves", () -> new Curves(metrics).write(html));
        data.routing()
                .filter(routing -> !routing.intervals().isEmpty())
                .ifPresent(routing -> section("Routing", () -> new RoutingPanel(routing).write(html)));
        if (!data.samples().isEmpty()) {
            section("Samples", this::samples);
        }
        section("What was trained", () -> facts(data.run()));
        section("Memory", () -> new MemoryPanel(data.memoryParts()).write(html));
        section("Configuration", this::configuration);
        section("Made with", () -> facts(data.environment()));
        html.close().line();
        html.element("footer", "Made by lora-native at " + TIME.format(data.written()) + " UTC from metrics.jsonl.")
                .line();
        html.open("script")
                .trusted(SCRIPT)
                .close()
                .line()
                .close()
                .line()
                .close()
                .line();
        return html.toString();
    }

    private static String policy() {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(SCRIPT.getBytes(StandardCharsets.UTF_8));
            return "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-"
                    + Base64.getEncoder().encodeToString(hash) + "'";
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    private void section(String title, Runnable contents) {
        html.open("section").element("h2", title).line();
        contents.run();
        html.close().line();
    }

    private void header() {
        html.open("header");
        html.open("p", "class", "kind").text("lora-native training report").close();
        html.element("h1", data.model());
        html.open("p")
                .element("span", state(), "class", "state " + stateClass())
                .text(" ");
        html.element("span", data.output().toString(), "class", "path").close().line();
        if (data.outcome() instanceof Outcome.Failed failed) {
            html.element("p", failed.reason(), "class", "failure").line();
        }
        tiles();
        html.close().line();
    }

    private int lastStep() {
        return metrics.steps().isEmpty() ? 0 : metrics.steps().getLast().step();
    }

    private String state() {
        String position = Numbers.count(lastStep()) + " of " + Numbers.steps(data.totalSteps());
        return switch (data.outcome()) {
            case Outcome.Running _ -> "in progress when this was written: " + position;
            case Outcome.Finished _ -> "finished: " + position;
            case Outcome.Interrupted _ -> "interrupted: " + position;
            case Outcome.Failed _ -> "failed: " + position;
        };
    }

    private String stateClass() {
        return data.outcome().getClass().getSimpleName().toLowerCase(Locale.ROOT);
    }

    private void tiles() {
        if (metrics.steps().isEmpty()) {
            return;
        }
        Step first = metrics.steps().getFirst();
        Step last = metrics.steps().getLast();
        html.open("dl", "class", "tiles").line();
        tile("Loss", Numbers.value(last.loss()), "was " + Numbers.value(first.loss()) + " at step " + first.step());
        Series evaluations = metrics.evaluationLosses();
        if (evaluations.lowest() >= 0) {
            double loss = evaluations.values()[evaluations.size() - 1];
            int best = evaluations.lowest();
            tile(
                    "Evaluation loss",
                    Numbers.value(loss),
                    "perplexity " + Numbers.value(Math.exp(loss)) + "; lowest "
                            + Numbers.value(evaluations.values()[best]) + " at step "
                            + evaluations.steps()[best]);
        }
        tile(
                "Epochs",
                Double.isNaN(last.epoch()) ? "unknown" : String.format(Locale.ROOT, "%.2f", last.epoch()),
                Numbers.steps(metrics.steps().size()));
        double seconds = metrics.seconds();
        if (seconds > 0) {
            tile(
                    "Speed",
                    Numbers.count(metrics.tokens() / seconds) + " tokens/s",
                    Numbers.count(metrics.tokens()) + " tokens in " + Numbers.duration(seconds));
        }
        Series memory = metrics.series(Step::memoryBytes);
        if (memory.highest() >= 0) {
            tile("Peak memory", Numbers.bytes(memory.values()[memory.highest()]), "of the process, Java included");
        }
        html.close().line();
    }

    private void tile(String name, String value, String more) {
        html.open("div").element("dt", name).element("dd", value);
        html.element("dd", more, "class", "more").close().line();
    }

    private void samples() {
        data.samples()
                .forEach(sample -> html.open("figure", "class", "sample")
                        .element("figcaption", sample.title())
                        .open("blockquote")
                        .element("b", sample.prompt())
                        .text(sample.continuation())
                        .close()
                        .close()
                        .line());
    }

    private void facts(List<Fact> facts) {
        html.open("dl", "class", "facts").line();
        facts.forEach(fact -> html.open("div")
                .element("dt", fact.name())
                .element("dd", fact.value())
                .close()
                .line());
        html.close().line();
    }

    private void configuration() {
        List<Setting> given = data.settings().stream()
                .filter(setting -> setting.origin().isPresent())
                .toList();
        List<Setting> defaults = data.settings().stream()
                .filter(setting -> setting.origin().isEmpty())
                .toList();
        settings("Given for this run", given);
        html.open("details")
                .element("summary", "Defaults (" + defaults.size() + ")")
                .line();
        settings("Left at their defaults", defaults);
        html.close().line();
    }

    private void settings(String caption, List<Setting> settings) {
        html.open("div", "class", "scroll").open("table", "class", "settings").element("caption", caption);
        html.open("tbody").line();
        settings.forEach(setting -> html.open("tr")
                .element("th", setting.key(), "scope", "row")
                .element("td", setting.value())
                .element("td", setting.origin().orElse(setting.group()), "class", "words")
                .close()
                .line());
        html.close().close().close().line();
    }

    private static String resource(String name) {
        try (InputStream in = Report.class.getResourceAsStream(name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
