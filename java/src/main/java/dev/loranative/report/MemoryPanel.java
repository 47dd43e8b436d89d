package dev.loranative.report;

import java.util.Map;

/** The plan's parts, as one bar and as a table. */
final class MemoryPanel {

    /** Colours in the style sheet. */
    private static final int COLOURS = 9;

    private static final Map<String, String> MEANINGS = Map.of(
            "weights", "frozen weights, mapped from the checkpoint's files",
            "adapters", "trained parameters",
            "gradients", "of the trained parameters",
            "optimizer", "AdamW's two moments of each trained parameter, in float32 or 8 bits",
            "activations", "the largest micro-batch, forward and backward",
            "logits", "a chunk of the vocabulary's scores",
            "scratch", "working memory of kernels",
            "sample", "key/value cache of the generated sample",
            "runtime", "the Java machine and its libraries");

    private final Map<String, Long> parts;

    MemoryPanel(Map<String, Long> parts) {
        this.parts = parts;
    }

    void write(Html html) {
        long total = parts.values().stream().mapToLong(Long::longValue).sum();
        html.element(
                "p",
                "Planned before the first step by running the largest micro-batch without computing, taken once, and not "
                        + "exceeded afterwards: " + Numbers.bytes(total)
                        + ". What the process holds in all, Java included, is in the chart of memory in use.");
        html.open("div", "class", "bar", "aria-hidden", "true");
        int colour = 0;
        for (Map.Entry<String, Long> part : parts.entrySet()) {
            html.element(
                    "i",
                    "",
                    "class",
                    "part" + colour++ % COLOURS,
                    "style",
                    "width:" + Numbers.position(100.0 * part.getValue() / Math.max(1, total)) + "%",
                    "title",
                    part.getKey() + ": " + Numbers.bytes(part.getValue()));
        }
        html.close().line();
        html.open("div", "class", "scroll")
                .open("table", "class", "numbers")
                .element("caption", "Planned memory by part");
        html.open("thead").open("tr");
        for (String name : new String[] {"part", "size", "share", "what it is"}) {
            html.element("th", name, "scope", "col");
        }
        html.close().close().open("tbody").line();
        colour = 0;
        for (Map.Entry<String, Long> part : parts.entrySet()) {
            html.open("tr").open("th", "scope", "row").element("i", "", "class", "key part" + colour++ % COLOURS);
            html.text(part.getKey()).close();
            html.element("td", Numbers.bytes(part.getValue()));
            html.element("td", Numbers.percent((double) part.getValue() / Math.max(1, total)));
            html.element("td", MEANINGS.getOrDefault(part.getKey(), ""), "class", "words")
                    .close()
                    .line();
        }
        html.open("tr", "class", "total").element("th", "total", "scope", "row").element("td", Numbers.bytes(total));
        html.element("td", "").element("td", "").close().close().close().close().line();
    }
}
