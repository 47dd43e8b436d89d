package dev.loranative.train;

import dev.loranative.data.Window;
import dev.loranative.device.DeviceFailure;
import dev.loranative.errors.UserException;
import dev.loranative.report.ReportData.Outcome;
import dev.loranative.tensor.Ops;
import java.util.Locale;
import java.util.function.BooleanSupplier;

/**
 * The training loop. Read it from {@link #run}: for every optimizer step, forward and backward of its micro-batches,
 * clipping, AdamW; in between evaluation, checkpoints, and a look at whether the user wants to stop.
 */
final class Trainer {

    private final TrainSetup setup;
    private final RunOutput output;
    private final TrainListener listener;
    private final BooleanSupplier interrupted;
    private final Ops ops;
    private final MicroBatches microBatches;

    /** Steps taken. */
    private int step;

    private StepMetrics last;

    /** @param interrupted asked after every step */
    Trainer(TrainSetup setup, RunOutput output, TrainListener listener, BooleanSupplier interrupted) {
        this.setup = setup;
        this.output = output;
        this.listener = listener;
        this.interrupted = interrupted;
        this.ops = setup.ops();
        this.microBatches = new MicroBatches(
                ops,
                setup.model(),
                setup.config(),
                setup.recompute(),
                setup.start().microBatches());
        this.step = setup.start().step();
    }

    /** Trains to the end, or until interrupted: then false, and the state is saved if there is anything new. */
    boolean run() {
        if (interrupted.getAsBoolean()) {
            return false;
        }
        if (step < setup.totalSteps()) {
            sample(step == 0 ? "before training" : "at step " + step);
        }
        try (RunLock _ = output.lock();
                MetricsLog log = output.begin()) {
            boolean finished = train(log);
            output.report().write(finished ? new Outcome.Finished() : new Outcome.Interrupted());
            return finished;
        }
    }

    private boolean train(MetricsLog log) {
        try {
            while (step < setup.totalSteps()) {
                if (interrupted.getAsBoolean()) {
                    saveInterrupted();
                    return false;
                }
                log.write(next());
                listener.step(last, setup.totalSteps());
                if (evaluationIsDue()) {
                    evaluate(log);
                }
                if (output.saveIsDue(step)) {
                    listener.saved(output.saveCheckpoint(step, microBatches.taken(), last));
                    output.report().write(new Outcome.Running());
                }
            }
            output.finish(step, last);
            sample("after training");
            return true;
        } catch (DeviceFailure e) {
            throw failed(e.during("after " + step + (step == 1 ? " step" : " steps")));
        } catch (RuntimeException e) {
            throw failed(e);
        }
    }

    private RuntimeException failed(RuntimeException e) {
        output.report().write(new Outcome.Failed(String.valueOf(e.getMessage())));
        return e;
    }

    private void sample(String title) {
        setup.sample().ifPresent(sample -> {
            String text = sample.text();
            listener.sample(title, text);
            output.report().sample(title, text);
        });
    }

    /** The next step of the run; nothing is written. */
    StepMetrics next() {
        last = trainStep();
        step++;
        return last;
    }

    /** One optimizer step: all its micro-batches, then the update. */
    private StepMetrics trainStep() {
        long start = System.nanoTime();
        Window window = setup.batcher().window(step);
        StepSums sums = microBatches.run(setup.slab(), window);
        double factor = setup.schedule().factor(step);
        double learningRate = factor * setup.config().optimizer().learningRate();
        setup.optimizer().step(ops, factor, sums.values());
        StepSums.Totals totals = sums.read();
        double loss = totals.lossSum() / Math.max(1, window.targets()) + totals.auxiliaryLoss() + totals.zLoss();
        if (!totals.finite()) {
            throw unstable(loss, totals.gradientNorm(), learningRate);
        }
        totals.choices().forEach(choices -> output.report().routed(step + 1, choices));
        RouterCoefficients coefficients = RouterCoefficients.of(setup.config().model());
        return new StepMetrics(
                step + 1,
                window.epochAfter(),
                loss,
                coefficients.auxiliary() > 0 ? totals.auxiliaryLoss() : Double.NaN,
                coefficients.z() > 0 ? totals.zLoss() : Double.NaN,
                totals.gradientNorm(),
                learningRate,
                window.tokens(),
                (System.nanoTime() - start) / 1e6,
                setup.device().memoryInUse());
    }

    /** The optimizer took no step, so the adapter and every checkpoint are as they were. */
    private UserException unstable(double loss, double gradNorm, double learningRate) {
        return output.unstable(
                step + 1,
                String.format(
                        Locale.ROOT, "loss %s, gradient norm %s, learning rate %.3g", loss, gradNorm, learningRate));
    }

    private boolean evaluationIsDue() {
        return setup.evaluator().isPresent()
                && (step == setup.totalSteps()
                        || setup.config().run().evalSteps().stream().anyMatch(every -> step % every == 0));
    }

    private void evaluate(MetricsLog log) {
        double loss = setup.evaluator().orElseThrow().run(setup.slab()).loss();
        log.writeEvaluation(step, last.epoch(), loss);
        output.evaluated(step, loss);
        listener.evaluated(step, loss);
    }

    private void saveInterrupted() {
        if (step > setup.start().step()) {
            listener.saved(output.saveCheckpoint(step, microBatches.taken(), last));
        }
    }
}
