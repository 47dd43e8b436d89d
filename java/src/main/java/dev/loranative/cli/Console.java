package dev.loranative.cli;

import dev.loranative.device.Device;
import dev.loranative.train.Interrupt;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Where a command writes: its result to standard output, everything else to standard error.
 *
 * @param terminal what standard error can show
 * @param interrupts listens for Ctrl-C: takes what to do at the first one, gives whether there was one
 * @param json whether the result is one JSON document
 */
record Console(
        PrintStream out,
        PrintStream err,
        Terminal terminal,
        Function<Runnable, BooleanSupplier> interrupts,
        boolean json) {

    static final JsonMapper JSON = JsonMapper.shared();

    /** Colours of the first word of a message. */
    private enum Color {
        RED("31"),
        YELLOW("33"),
        CYAN("36");

        private final String code;

        Color(String code) {
            this.code = code;
        }
    }

    /** The streams of this process. UTF-8 in every locale: generated text and JSON are. */
    static Console ofProcess() {
        return new Console(
                new PrintStream(
                        new ResultStream(new FileOutputStream(FileDescriptor.out)), true, StandardCharsets.UTF_8),
                new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8),
                Terminal.ofStandardError(System.getenv()),
                Interrupt::install,
                false);
    }

    /** Streams that are no terminal; Ctrl-C is left as it is. */
    static Console of(PrintStream out, PrintStream err) {
        return new Console(out, err, Terminal.NONE, _ -> () -> false, false);
    }

    Console withJson(boolean wanted) {
        return new Console(out, err, terminal, interrupts, wanted);
    }

    /** A line of the result. */
    void result(String line) {
        out.println(line);
    }

    /** The result. */
    void result(ObjectNode document) {
        out.println(JSON.writeValueAsString(document));
    }

    void note(String line) {
        err.println(line);
    }

    void warning(String line) {
        err.println(colored(Color.YELLOW, "warning:") + " " + line);
    }

    /** Where {@code auto} took the CPU although there is a GPU. */
    void warnOfUnusedGpu(Device device) {
        device.unusedGpu().ifPresent(cause -> warning("the GPU is not used: " + cause));
    }

    void failure(Failure failure) {
        err.println(colored(Color.RED, "error:") + " " + failure.message());
        err.println(colored(Color.CYAN, "hint:") + " " + failure.hint());
    }

    private String colored(Color color, String word) {
        return terminal.colors() ? "\u001B[" + color.code + "m" + word + "\u001B[0m" : word;
    }
}
