package dev.loranative.cli;

import java.util.ArrayList;
import java.util.List;

/** Rows of text whose columns stand below each other, and headings between them. */
final class TextTable {

    private static final String GAP = "  ";

    private final String indent;
    private final boolean[] rightAligned;
    private final List<String[]> rows = new ArrayList<>();

    /** @param rightAligned for every column */
    TextTable(String indent, boolean... rightAligned) {
        this.indent = indent;
        this.rightAligned = rightAligned;
    }

    /** A line that no column depends on. */
    void heading(String line) {
        rows.add(new String[] {line});
    }

    void row(String... cells) {
        if (cells.length != rightAligned.length) {
            throw new IllegalArgumentException(cells.length + " cells in " + rightAligned.length + " columns");
        }
        rows.add(cells);
    }

    List<String> lines() {
        int[] widths = new int[rightAligned.length];
        for (String[] row : rows) {
            if (isHeading(row)) {
                continue;
            }
            for (int column = 0; column < row.length; column++) {
                widths[column] = Math.max(widths[column], row[column].length());
            }
        }
        return rows.stream()
                .map(row -> isHeading(row) ? row[0] : line(row, widths))
                .toList();
    }

    private boolean isHeading(String[] row) {
        return row.length == 1 && rightAligned.length > 1;
    }

    private String line(String[] row, int[] widths) {
        StringBuilder line = new StringBuilder(indent);
        for (int column = 0; column < row.length; column++) {
            String padding = " ".repeat(widths[column] - row[column].length());
            line.append(column == 0 ? "" : GAP)
                    .append(rightAligned[column] ? padding + row[column] : row[column] + padding);
        }
        return line.toString().stripTrailing();
    }
}
