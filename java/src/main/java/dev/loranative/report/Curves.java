package dev.loranative.report;

import dev.loranative.report.RunMetrics.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/** The charts of a run, and the table of what they begin and end with. */
final class Curves {

    private static final double MIB = 1 << 20;
    private static final double GIB = 1 << 30;

    /** A measured value: its name, how it is drawn, its numbers. */
    private record Measure(String name, String unit, Series series) {

        boolean isMeasured() {
            return series.finite().length > 0;
        }
    }

    private final RunMetrics metrics;

    Curves(RunMetrics metrics) {
        this.metrics = metrics;
    }

    void write(Html html) {
        List<LineChart> charts =
                charts().stream().filter(chart -> !chart.isEmpty()).toList();
        if (charts.isEmpty()) {
            html.element("p", "No optimizer step was finished, so there is nothing to draw yet.");
            return;
        }
        int[] steps = IntStream.concat(
                        metrics.steps().stream().mapToInt(Step::step),
                        metrics.evaluations().stream().mapToInt(RunMetrics.Evaluation::step))
                .sorted()
                .toArray();
        Scale scale = Scale.ofSteps(steps[0], steps[steps.length - 1]);
        html.open("div", "class", "charts").line();
        charts.forEach(chart -> chart.write(html, scale));
        html.close().line();
        table(html);
        int gaps = metrics.steps().size() - loss().finite().length;
        if (gaps > 0) {
            html.element("p", "The loss of " + Numbers.steps(gaps) + " is no finite number; the curve has gaps there.");
        }
        if (metrics.unreadableLines() > 0) {
            html.element("p", "Lines of metrics.jsonl that could not be read: " + metrics.unreadableLines() + ".");
        }
    }

    private Series loss() {
        return metrics.series(Step::loss);
    }

    private List<LineChart> charts() {
        List<LineChart.Curve> losses = new ArrayList<>(LineChart.withMean("training", loss()));
        if (!metrics.evaluations().isEmpty()) {
            losses.add(LineChart.dots("evaluation", metrics.evaluationLosses()));
        }
        Series memory = metrics.series(Step::memoryBytes);
        double unit = memory.highest() >= 0 && memory.values()[memory.highest()] >= GIB ? GIB : MIB;
        return List.of(
                new LineChart("Loss", "", false, losses),
                new LineChart(
                        "Gradient norm",
                        "before clipping",
                        true,
                        LineChart.withMean("each step", metrics.series(Step::gradNorm))),
                new LineChart(
                        "Learning rate",
                        "",
                        true,
                        List.of(LineChart.line("learning rate", metrics.series(Step::learningRate)))),
                new LineChart(
                        "Router's auxiliary loss",
                        "as it is part of the loss",
                        false,
                        LineChart.withMean("each step", metrics.series(Step::auxLoss))),
                new LineChart(
                        "Routers' z-loss",
                        "as it is part of the loss",
                        false,
                        LineChart.withMean("each step", metrics.series(Step::zLoss))),
                new LineChart(
                        "Speed",
                        "tokens/s",
                        true,
                        LineChart.withMean("each step", metrics.series(Step::tokensPerSecond))),
                new LineChart(
                        "Memory in use",
                        unit == GIB ? "GiB" : "MiB",
                        true,
                        List.of(LineChart.line("memory", memory.map(bytes -> bytes / unit)))));
    }

    private void table(Html html) {
        List<Measure> measures = List.of(
                new Measure("loss", "", loss()),
                new Measure("evaluation loss", "", metrics.evaluationLosses()),
                new Measure("auxiliary loss", "", metrics.series(Step::auxLoss)),
                new Measure("z-loss", "", metrics.series(Step::zLoss)),
                new Measure("gradient norm", "", metrics.series(Step::gradNorm)),
                new Measure("learning rate", "", metrics.series(Step::learningRate)),
                new Measure("tokens of a step", "", metrics.series(Step::tokens)),
                new Measure("tokens per second", "", metrics.series(Step::tokensPerSecond)),
                new Measure("time of a step", "ms", metrics.series(Step::stepMillis)),
                new Measure(
                        "memory in use",
                        "MiB",
                        metrics.series(Step::memoryBytes).map(bytes -> bytes / MIB)));
        html.open("div", "class", "scroll").open("table", "class", "numbers").element("caption", "In numbers");
        html.open("thead").open("tr").element("td", "");
        List.of("first", "last", "lowest", "highest").forEach(name -> html.element("th", name, "scope", "col"));
        html.close().close().open("tbody").line();
        for (Measure measure : measures) {
            if (measure.isMeasured()) {
                Series series = measure.series();
                int[] finite = series.finite();
                html.open("tr")
                        .element(
                                "th",
                                measure.name() + (measure.unit().isEmpty() ? "" : ", " + measure.unit()),
                                "scope",
                                "row");
                for (int i : new int[] {finite[0], finite[finite.length - 1], series.lowest(), series.highest()}) {
                    html.open("td")
                            .text(Numbers.value(series.values()[i]))
                            .text(" ")
                            .element("small", "step " + series.steps()[i])
                            .close();
                }
                html.close().line();
            }
        }
        html.close().close().close().line();
    }
}
