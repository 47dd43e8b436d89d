package dev.loranative.report;

import dev.loranative.report.Routing.Interval;
import java.util.Arrays;

/** How evenly the routers spread tokens over experts: now, and over the run. */
final class RoutingPanel {

    /** Shades of the map, besides none at all. */
    private static final int SHADES = 12;

    /** Experts whose columns can carry their number side by side. */
    private static final int NUMBERED = 16;

    private final Routing routing;

    RoutingPanel(Routing routing) {
        this.routing = routing;
    }

    void write(Html html) {
        Interval latest = routing.latest();
        double[] shares = latest.shares();
        html.element("p", inWords(latest, shares)).line();
        html.open("div", "class", "charts");
        columns(html, latest, shares);
        if (routing.intervals().size() > 1) {
            map(html);
        }
        html.close().line();
    }

    private static String steps(int first, int last) {
        return first == last ? "step " + first : "steps " + first + " to " + last;
    }

    private static String inWords(Interval latest, double[] shares) {
        int busiest = 0;
        int quietest = 0;
        for (int expert = 0; expert < shares.length; expert++) {
            busiest = shares[expert] > shares[busiest] ? expert : busiest;
            quietest = shares[expert] < shares[quietest] ? expert : quietest;
        }
        long unused = Arrays.stream(shares).filter(share -> share == 0).count();
        return "In " + steps(latest.firstStep(), latest.lastStep()) + ", all layers together, expert " + busiest
                + " was chosen most often (" + Numbers.percent(shares[busiest]) + " of the choices) and expert "
                + quietest + " least often (" + Numbers.percent(shares[quietest]) + "); an even share of "
                + shares.length + " experts is " + Numbers.percent(1.0 / shares.length) + ". "
                + (unused == 0
                        ? "Every expert was used"
                        : unused + (unused == 1 ? " expert was" : " experts were") + " never chosen")
                + "; the balance is " + Numbers.value(Math.round(1000 * balance(shares)) / 1000.0)
                + " (entropy of the shares: 1 is even, 0 means one expert alone).";
    }

    private static double balance(double[] shares) {
        if (shares.length < 2) {
            return 1;
        }
        double entropy = Arrays.stream(shares)
                .filter(share -> share > 0)
                .map(share -> -share * Math.log(share))
                .sum();
        return entropy / Math.log(shares.length);
    }

    private static void columns(Html html, Interval latest, double[] shares) {
        Scale scale = Scale.ofValues(0, 100 * Arrays.stream(shares).max().orElse(1), true);
        html.open("figure", "class", "chart").open("figcaption");
        html.element("b", "Share of each expert").text(" ");
        html.element("span", "%, " + steps(latest.firstStep(), latest.lastStep()), "class", "unit")
                .close();
        html.open("div", "class", "plot").open("div", "class", "y", "aria-hidden", "true");
        for (double mark : scale.marks()) {
            html.element(
                    "span", scale.label(mark), "style", "top:" + Numbers.position(100 * (1 - scale.place(mark))) + "%");
        }
        html.close();
        StringBuilder words = new StringBuilder("Share by expert:");
        for (int expert = 0; expert < shares.length; expert++) {
            words.append(expert == 0 ? " " : ", ").append(expert).append(": ").append(Numbers.percent(shares[expert]));
        }
        html.open("div", "class", "area", "role", "img", "aria-label", words.toString());
        for (int expert = 0; expert < shares.length; expert++) {
            html.element(
                    "i",
                    "",
                    "style",
                    "left:" + Numbers.position(100 * (expert + 0.1) / shares.length) + "%;width:"
                            + Numbers.position(80.0 / shares.length) + "%;height:"
                            + Numbers.position(100 * scale.place(100 * shares[expert])) + "%",
                    "title",
                    "expert " + expert + ": " + Numbers.percent(shares[expert]));
        }
        html.element(
                "u",
                "",
                "style",
                "bottom:" + Numbers.position(100 * scale.place(100.0 / shares.length)) + "%",
                "title",
                "even share");
        html.close().open("div", "class", "x", "aria-hidden", "true");
        int every = 1;
        while (shares.length / every > NUMBERED) {
            every *= 2;
        }
        for (int expert = 0; expert < shares.length; expert += every) {
            html.element(
                    "span",
                    String.valueOf(expert),
                    "style",
                    "left:" + Numbers.position(100 * (expert + 0.5) / shares.length) + "%");
        }
        html.close().close().close().line();
    }

    /** Experts from top to bottom, steps from left to right; one path for each shade keeps the file small. */
    private void map(Html html) {
        int experts = routing.experts();
        double most = routing.intervals().stream()
                .flatMapToDouble(interval -> Arrays.stream(interval.shares()))
                .max()
                .orElse(1);
        StringBuilder[] shades = new StringBuilder[SHADES + 1];
        Arrays.setAll(shades, _ -> new StringBuilder());
        for (int column = 0; column < routing.intervals().size(); column++) {
            double[] shares = routing.intervals().get(column).shares();
            for (int expert = 0; expert < experts; expert++) {
                // The quotient first: it is exactly 1 for the largest share, so no shade is beyond the last.
                int shade = (int) Math.ceil(SHADES * (shares[expert] / Math.max(most, Double.MIN_NORMAL)));
                shades[shade]
                        .append('M')
                        .append(column)
                        .append(' ')
                        .append(expert)
                        .append("h1v1h-1z");
            }
        }
        int first = routing.intervals().getFirst().firstStep();
        int last = routing.intervals().getLast().lastStep();
        html.open("figure", "class", "chart")
                .open("figcaption")
                .element("b", "Share of each expert over the run")
                .text(" ");
        html.element(
                        "span",
                        "the stronger the colour, the larger; full colour is " + Numbers.percent(most),
                        "class",
                        "unit")
                .close();
        html.open("div", "class", "plot").open("div", "class", "y", "aria-hidden", "true");
        for (int expert : new int[] {0, experts - 1}) {
            html.element(
                    "span",
                    String.valueOf(expert),
                    "style",
                    "top:" + Numbers.position(100 * (expert + 0.5) / experts) + "%");
        }
        html.close().open("div", "class", "area");
        html.open(
                "svg",
                "viewBox",
                "0 0 " + routing.intervals().size() + " " + experts,
                "preserveAspectRatio",
                "none",
                "role",
                "img",
                "aria-label",
                "Map of the share of each of " + experts + " experts from step " + first + " to " + last
                        + "; the largest share in it is " + Numbers.percent(most) + ".",
                "shape-rendering",
                "crispEdges");
        for (int shade = 1; shade <= SHADES; shade++) {
            if (!shades[shade].isEmpty()) {
                html.empty(
                        "path",
                        "class",
                        "cell",
                        "fill-opacity",
                        Numbers.value(Math.round(100.0 * shade / SHADES) / 100.0),
                        "d",
                        shades[shade].toString());
            }
        }
        html.close().close().open("div", "class", "x", "aria-hidden", "true");
        html.element("span", "step " + Numbers.count(first), "style", "left:0%", "class", "from");
        html.element("span", "step " + Numbers.count(last), "style", "left:100%", "class", "to");
        html.close().close().close().line();
    }
}
