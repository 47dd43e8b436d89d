package dev.loranative.cli;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * What standard error can show.
 *
 * @param rewrites whether a line can be written over: a terminal, not a file or a pipe
 * @param colors whether words may be coloured
 * @param width columns of a line
 */
record Terminal(boolean rewrites, boolean colors, int width) {

    static final Terminal NONE = new Terminal(false, false, Integer.MAX_VALUE);

    private static final int USUAL_WIDTH = 80;
    private static final int LEAST_WIDTH = 20;

    /** Standard error of this process. */
    static Terminal ofStandardError(Map<String, String> environment) {
        return of(isTerminal(Path.of("/proc/self/fd/2")), environment, Terminal::columnsOfDevice);
    }

    /** Asked only where the environment does not tell; 0 if unknown. */
    interface Columns {
        int ask();
    }

    static Terminal of(boolean isTerminal, Map<String, String> environment, Columns columns) {
        boolean dumb = environment.getOrDefault("TERM", "").equals("dumb");
        if (!isTerminal || dumb) {
            return NONE;
        }
        boolean colors = environment.getOrDefault("NO_COLOR", "").isEmpty();
        int known = number(environment.get("COLUMNS"));
        int width = known > 0 ? known : columns.ask();
        return new Terminal(true, colors, width > 0 ? Math.max(LEAST_WIDTH, width) : USUAL_WIDTH);
    }

    private static boolean isTerminal(Path descriptor) {
        try {
            String target = Files.readSymbolicLink(descriptor).toString();
            return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty") || target.equals("/dev/console");
        } catch (IOException | UnsupportedOperationException e) {
            // Not Linux. The console is about the standard streams as a whole, the nearest that Java knows.
            return System.console() != null && System.console().isTerminal();
        }
    }

    /** A shell keeps COLUMNS to itself unless it is exported, so the terminal is asked. */
    private static int columnsOfDevice() {
        try {
            Process stty = new ProcessBuilder("stty", "size")
                    .redirectInput(new File("/dev/tty"))
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (!stty.waitFor(1, TimeUnit.SECONDS)) {
                stty.destroy();
                return 0;
            }
            String[] rowsAndColumns = new String(stty.getInputStream().readAllBytes(), StandardCharsets.US_ASCII)
                    .strip()
                    .split(" ");
            return rowsAndColumns.length == 2 ? number(rowsAndColumns[1]) : 0;
        } catch (IOException e) {
            return 0;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return 0;
        }
    }

    private static int number(String text) {
        return text != null && text.matches("[0-9]{1,5}") ? Integer.parseInt(text) : 0;
    }
}
