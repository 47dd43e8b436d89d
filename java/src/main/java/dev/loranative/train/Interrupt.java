package dev.loranative.train;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import sun.misc.Signal;

/**
 * Ctrl-C and SIGTERM as a wish to stop: the step that runs is finished and saved. A second signal ends the process at
 * once.
 */
public final class Interrupt implements BooleanSupplier {

    /** What a shell reports for a program that Ctrl-C ended. */
    public static final int EXIT_CODE = 130;

    private final AtomicBoolean requested = new AtomicBoolean();

    /** Listens from now on, for the rest of the process. */
    public static Interrupt install(Runnable onFirst) {
        Interrupt interrupt = new Interrupt();
        for (String name : new String[] {"INT", "TERM"}) {
            Signal.handle(new Signal(name), _ -> {
                if (!interrupt.requested.compareAndSet(false, true)) {
                    Runtime.getRuntime().halt(EXIT_CODE);
                }
                onFirst.run();
            });
        }
        return interrupt;
    }

    /** Whether the user wants the run to stop. */
    @Override
    public boolean getAsBoolean() {
        return requested.get();
    }
}
