package dev.loranative.bench;

import dev.loranative.config.TrainConfig;
import dev.loranative.train.StepMetrics;
import dev.loranative.train.TrainListener;
import dev.loranative.train.Training;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.TimeUnit;

/**
 * A run of the real trainer, one step at a time: it waits before every step until it is asked for. What is measured is
 * what {@code train} does, and nothing that only looks like it.
 */
public final class SteppedTraining implements AutoCloseable {

    private enum Order {
        STEP,
        STOP
    }

    /** What the trainer's thread answers: a step, or how the run ended. */
    private record Answer(StepMetrics step, Throwable failure) {}

    private final SynchronousQueue<Order> orders = new SynchronousQueue<>();
    private final SynchronousQueue<Answer> answers = new SynchronousQueue<>();
    private final Thread trainer;
    private boolean ended;

    /** On the trainer's thread: whether a step was asked for that is not done yet. */
    private boolean granted;

    private SteppedTraining(TrainConfig config) {
        trainer = Thread.ofPlatform().name("trainer").daemon().start(() -> run(config));
    }

    /**
     * Starts a run; returns at once.
     *
     * @param model folder of the model
     * @param data a .jsonl file of samples with input_ids
     * @param output does not exist
     * @param flags of {@code train} besides model, data and output; steps end when this is closed
     */
    public static SteppedTraining start(Path model, Path data, Path output, List<String> flags) {
        List<String> all = new ArrayList<>(
                List.of("--model", model.toString(), "--data", data.toString(), "--output", output.toString()));
        all.addAll(List.of("--max-steps", "1000000"));
        all.addAll(flags);
        return new SteppedTraining(TrainConfig.parse(Optional.empty(), all));
    }

    private void run(TrainConfig config) {
        Throwable failure = null;
        try {
            Training.run(config, new Steps(), this::isStopped);
        } catch (Throwable e) {
            failure = e;
        }
        answer(new Answer(null, failure));
    }

    /** Asked before every step, and wherever else the trainer looks whether it is to stop. */
    private boolean isStopped() {
        try {
            if (!granted && orders.take() == Order.STOP) {
                return true;
            }
            granted = true;
            return false;
        } catch (InterruptedException e) {
            return true;
        }
    }

    private void answer(Answer answer) {
        try {
            // Nobody may be listening any more once the run was told to stop.
            answers.offer(answer, 1, TimeUnit.MINUTES);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** The next step, measured; the first one also waits until the model is loaded. */
    public StepMetrics step() {
        try {
            if (ended || !give(Order.STEP)) {
                throw new IllegalStateException("the run has ended");
            }
            Answer answer = answers.take();
            if (answer.step() == null) {
                ended = true;
                throw new IllegalStateException("the run ended", answer.failure());
            }
            return answer.step();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    /** Hands an order over; false if the run ended instead, with its failure thrown if there was one. */
    private boolean give(Order order) throws InterruptedException {
        while (!orders.offer(order, 20, TimeUnit.MILLISECONDS)) {
            Answer answer = answers.poll();
            if (answer != null) {
                ended = true;
                if (answer.failure() instanceof RuntimeException failure) {
                    throw failure;
                }
                return false;
            }
        }
        return true;
    }

    /** Ends the run and waits for it. */
    @Override
    public void close() {
        try {
            if (!ended && give(Order.STOP)) {
                answers.take();
            }
            ended = true;
            trainer.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private final class Steps implements TrainListener {

        @Override
        public void step(StepMetrics metrics, int totalSteps) {
            granted = false;
            answer(new Answer(metrics, null));
        }
    }
}
