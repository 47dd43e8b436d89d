package dev.loranative.cli;

import dev.loranative.train.StepMetrics;
import dev.loranative.train.TrainListener;
import java.nio.file.Path;
import java.util.OptionalDouble;
import java.util.function.LongSupplier;

/**
 * Shows a run on standard error. On a terminal the last line follows every step; besides, and elsewhere only, a line
 * stays for the first step, every {@code logging_steps}, and the last. Methods may be called from a signal handler too.
 */
final class TrainProgress implements TrainListener {

    private final Console console;
    private final int loggingSteps;
    private final LongSupplier nanoTime;
    private final Pace pace;
    private final StatusLine status;
    private final long start;
    private StepMetrics first;
    private StepMetrics last;
    private OptionalDouble evalLoss = OptionalDouble.empty();
    private Path saved;

    TrainProgress(Console console, int loggingSteps, LongSupplier nanoTime) {
        this.console = console;
        this.loggingSteps = loggingSteps;
        this.nanoTime = nanoTime;
        this.pace = new Pace(nanoTime);
        this.status = new StatusLine(console, nanoTime);
        this.start = nanoTime.getAsLong();
    }

    @Override
    public synchronized void prepared(String line) {
        note(line);
    }

    @Override
    public synchronized void quantizing(int done, int total) {
        status.draw("quantising " + done + "/" + total + " weights");
    }

    @Override
    public synchronized void warning(String line) {
        status.clear();
        console.warning(line);
    }

    @Override
    public synchronized void step(StepMetrics metrics, int totalSteps) {
        pace.add(metrics);
        first = first == null ? metrics : first;
        last = metrics;
        StepLine line = new StepLine(metrics, totalSteps, pace.recentTokensPerSecond(), pace.secondsLeft(totalSteps));
        boolean stays = metrics == first || metrics.step() == totalSteps || metrics.step() % loggingSteps == 0;
        if (stays) {
            note(console.terminal().rewrites() ? line.permanent(status.width()) : line.logged());
        }
        if (console.terminal().rewrites() && metrics.step() < totalSteps) {
            status.draw(line.status(status.width()));
        }
    }

    @Override
    public synchronized void evaluated(int step, double loss) {
        evalLoss = OptionalDouble.of(loss);
        note("eval at step " + step + ": loss " + Quantities.loss(loss) + ", perplexity "
                + Quantities.small(Math.exp(loss)));
    }

    @Override
    public synchronized void saved(Path checkpoint) {
        saved = checkpoint;
        note("saved " + checkpoint);
    }

    @Override
    public synchronized void sample(String title, String text) {
        note(title + ":");
        text.lines().forEach(line -> note("  | " + line));
    }

    /** A line that stays, above the one that is written over. */
    synchronized void note(String line) {
        status.clear();
        console.note(line);
    }

    /** Takes the line away that is written over. */
    synchronized void clear() {
        status.clear();
    }

    /** What the run came to. */
    synchronized TrainSummary summary() {
        return new TrainSummary(
                first, last, evalLoss, saved, pace.tokensPerSecond(), (nanoTime.getAsLong() - start) / 1e9);
    }
}
