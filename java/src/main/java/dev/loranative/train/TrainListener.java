package dev.loranative.train;

import java.nio.file.Path;
import java.util.OptionalLong;

/**
 * Hears what a run does; the command line shows it. All methods are called on the training thread. Who does not implement
 * one does not want to know.
 */
public interface TrainListener {

    /** One line about the model, the data, the targets or the memory, before the first step. */
    default void prepared(String line) {}

    /** While weights are quantised, before the first step. */
    default void quantizing(int done, int total) {}

    /**
     * What the run takes, before it is compared with what there is: first of the weights alone if they are quantised on
     * loading, then of everything.
     *
     * @param roomBytes what it may take; empty where nobody tells
     */
    default void planned(MemoryPlan plan, OptionalLong roomBytes) {}

    /** Something that deserves attention. */
    default void warning(String line) {}

    /** After every optimizer step. */
    default void step(StepMetrics metrics, int totalSteps) {}

    default void evaluated(int step, double loss) {}

    default void saved(Path checkpoint) {}

    /** A text generated to show what the model does. */
    default void sample(String title, String text) {}
}
