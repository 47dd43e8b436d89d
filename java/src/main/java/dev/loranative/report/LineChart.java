package dev.loranative.report;

import java.util.Arrays;
import java.util.List;
import java.util.StringJoiner;

/**
 * Curves over optimizer steps: an SVG drawing that is stretched to its place, and axes in HTML, whose text keeps its
 * size on every screen.
 *
 * @param unit behind numbers; may be empty
 * @param fromZero whether the vertical axis begins at zero
 */
record LineChart(String title, String unit, boolean fromZero, List<Curve> curves) {

    private static final int WIDTH = 1000;
    private static final int HEIGHT = 500;

    /** Parts of a curve of which only the extremes are drawn. */
    private static final int BUCKETS = 400;

    /** Text that stands so far to the right ends where its mark is, so that it stays on the page. */
    private static final double NEAR_END = 0.97;

    /** Dots from which on they are drawn small. */
    private static final int DENSE = 40;

    /** Steps from which on a curve is too restless to be read without its mean. */
    private static final int LONG = 100;

    /** @param style class in the style sheet: raw, line or dots */
    record Curve(String name, String style, Series series) {

        /** A curve of few points is invisible as a line. */
        boolean dotted() {
            return style.equals("dots") || series.finite().length < 3;
        }
    }

    /** What was measured, and where there is much of it, its mean. */
    static List<Curve> withMean(String name, Series series) {
        if (series.size() < LONG) {
            return List.of(new Curve(name, "line", series));
        }
        int[] drawn = series.drawn(BUCKETS);
        return List.of(
                new Curve(name, "raw", series.at(drawn)),
                new Curve("smoothed", "line", series.smoothed().at(drawn)));
    }

    static Curve line(String name, Series series) {
        return new Curve(name, "line", series.at(series.drawn(BUCKETS)));
    }

    static Curve dots(String name, Series series) {
        return new Curve(name, "dots", series.at(series.drawn(BUCKETS)));
    }

    boolean isEmpty() {
        return curves.stream().allMatch(curve -> curve.series().finite().length == 0);
    }

    void write(Html html, Scale steps) {
        double[] values = curves.stream()
                .flatMapToDouble(curve -> Arrays.stream(curve.series().values()))
                .filter(Double::isFinite)
                .toArray();
        Scale scale = Scale.ofValues(values, fromZero);
        html.open("figure", "class", "chart").open("figcaption").element("b", title);
        if (!unit.isEmpty()) {
            html.text(" ").element("span", unit, "class", "unit");
        }
        if (!Arrays.stream(values).allMatch(scale::holds)) {
            html.text(" ").element("span", "values far out are drawn at the edge", "class", "unit");
        }
        legend(html);
        html.close().open("div", "class", "plot");
        marks(html, "y", scale, "top");
        html.open(
                        "div",
                        "class",
                        "area",
                        "data-low",
                        Numbers.position(steps.low()),
                        "data-high",
                        Numbers.position(steps.high()))
                .open(
                        "svg",
                        "viewBox",
                        "0 0 " + WIDTH + " " + HEIGHT,
                        "preserveAspectRatio",
                        "none",
                        "role",
                        "img",
                        "aria-label",
                        inWords());
        html.empty("path", "class", "grid", "d", grid(scale));
        curves.forEach(curve -> html.empty(
                "path",
                "class",
                curve.dotted()
                        ? curve.style() + (curve.series().size() > DENSE ? " dots dense" : " dots")
                        : curve.style(),
                "d",
                path(curve, steps, scale),
                "data-name",
                curve.name(),
                "data-points",
                points(curve.series())));
        html.close().close();
        marks(html, "x", steps, "left");
        html.close().close().line();
    }

    private void legend(Html html) {
        if (curves.size() < 2) {
            return;
        }
        html.open("span", "class", "legend");
        curves.forEach(curve -> html.open("span", "class", "of-" + curve.style())
                .text(curve.name())
                .close());
        html.close();
    }

    private static void marks(Html html, String axis, Scale scale, String side) {
        html.open("div", "class", axis, "aria-hidden", "true");
        for (double mark : scale.marks()) {
            double place = side.equals("top") ? 1 - scale.place(mark) : scale.place(mark);
            html.element(
                    "span",
                    axis.equals("x") ? Numbers.count(mark) : scale.label(mark),
                    "style",
                    side + ":" + Numbers.position(100 * place) + "%",
                    "class",
                    axis.equals("x") && place > NEAR_END ? "to" : "mark");
        }
        html.close();
    }

    private static String grid(Scale scale) {
        StringBuilder path = new StringBuilder();
        scale.marks()
                .forEach(mark -> path.append("M0 ")
                        .append(Numbers.position(HEIGHT * (1 - scale.place(mark))))
                        .append('h')
                        .append(WIDTH));
        return path.toString();
    }

    /** Values that are no finite numbers leave a gap; a line of no length with round ends is a dot. */
    private static String path(Curve curve, Scale steps, Scale scale) {
        Series series = curve.series();
        StringBuilder path = new StringBuilder();
        int run = 0;
        for (int i = 0; i <= series.size(); i++) {
            boolean finite = i < series.size() && Double.isFinite(series.values()[i]);
            if (run == 1 && (!finite || curve.dotted())) {
                path.append("h0");
                run = 0;
            }
            if (!finite) {
                run = 0;
                continue;
            }
            path.append(run == 0 ? 'M' : run == 1 ? 'L' : ' ')
                    .append(Numbers.position(WIDTH * steps.place(series.steps()[i])))
                    .append(' ')
                    .append(Numbers.position(HEIGHT * (1 - scale.place(series.values()[i]))));
            run++;
        }
        return path.toString();
    }

    /** {@code step,value} of each finite value: what the script reads. */
    private static String points(Series series) {
        StringJoiner points = new StringJoiner(" ");
        for (int i : series.finite()) {
            points.add(series.steps()[i] + "," + Numbers.value(series.values()[i]));
        }
        return points.toString();
    }

    /** What the drawing shows, for those who do not see it. */
    private String inWords() {
        StringJoiner words = new StringJoiner(". ", title + " by optimizer step. ", ".");
        for (Curve curve : curves) {
            int[] finite = curve.series().finite();
            if (finite.length > 0) {
                words.add(curve.name() + " starts " + place(curve, finite[0]) + ", ends "
                        + place(curve, finite[finite.length - 1]) + ", is lowest "
                        + place(curve, curve.series().lowest())
                        + ", highest " + place(curve, curve.series().highest()));
            }
        }
        return words.toString();
    }

    private String place(Curve curve, int position) {
        return "with " + Numbers.value(curve.series().values()[position]) + (unit.isEmpty() ? "" : " " + unit)
                + " at step " + curve.series().steps()[position];
    }
}
