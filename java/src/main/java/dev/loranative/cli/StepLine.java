package dev.loranative.cli;

import dev.loranative.train.StepMetrics;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalDouble;

/**
 * One optimizer step as a line of text.
 *
 * @param tokensPerSecond over the last steps
 * @param secondsLeft empty when it cannot be told yet
 */
record StepLine(StepMetrics metrics, int totalSteps, double tokensPerSecond, OptionalDouble secondsLeft) {

    private static final String GAP = "  ";
    private static final int LONGEST_BAR = 30;
    private static final int SHORTEST_BAR = 10;

    /** @param importance the least important fields make room where the line is too narrow */
    private record Field(String text, int importance) {}

    /** Stays on the screen, above the line that is written over and that tells the time left. */
    String permanent(int width) {
        return "step " + fit(fields(false), width - "step ".length());
    }

    /** Stands alone in a log. */
    String logged() {
        return "step " + join(fields(true));
    }

    /** Is written over by the next one: with a bar where there is room. */
    String status(int width) {
        String line = fit(fields(true), width);
        int room = Math.min(LONGEST_BAR, width - line.length() - GAP.length() - 2);
        return room < SHORTEST_BAR ? line : "[" + bar(room) + "]" + GAP + line;
    }

    private List<Field> fields(boolean withTime) {
        int digits = String.valueOf(totalSteps).length();
        List<Field> fields = new ArrayList<>();
        fields.add(new Field(String.format("%" + digits + "d/%d", metrics.step(), totalSteps), 9));
        fields.add(new Field("loss " + Quantities.loss(metrics.loss()), 8));
        if (metrics.hasAuxLoss()) {
            fields.add(new Field("aux " + Quantities.small(metrics.auxLoss()), 2));
        }
        if (metrics.hasZLoss()) {
            fields.add(new Field("z " + Quantities.small(metrics.zLoss()), 1));
        }
        fields.add(new Field("grad " + Quantities.small(metrics.gradNorm()), 5));
        fields.add(new Field("lr " + Quantities.scientific(metrics.learningRate()), 3));
        fields.add(new Field(Quantities.rate(tokensPerSecond) + " tok/s", 6));
        fields.add(new Field(Quantities.bytes(metrics.memoryBytes()), 4));
        if (withTime && secondsLeft.isPresent()) {
            fields.add(new Field(Quantities.time(secondsLeft.getAsDouble()) + " left", 7));
        }
        return fields;
    }

    private String bar(int columns) {
        int done = (int) ((long) columns * metrics.step() / Math.max(1, totalSteps));
        return "=".repeat(done) + " ".repeat(columns - done);
    }

    private static String fit(List<Field> fields, int width) {
        List<Field> kept = new ArrayList<>(fields);
        while (kept.size() > 1 && join(kept).length() > width) {
            kept.remove(kept.stream()
                    .min(Comparator.comparingInt(Field::importance))
                    .orElseThrow());
        }
        String line = join(kept);
        return line.length() <= width ? line : line.substring(0, Math.max(0, width));
    }

    private static String join(List<Field> fields) {
        return String.join(GAP, fields.stream().map(Field::text).toList());
    }
}
