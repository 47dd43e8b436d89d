package dev.loranative.train;

import dev.loranative.config.TrainConfig;
import java.util.function.BooleanSupplier;

/** Fine-tunes a model: what the {@code train} command does, for programs that embed the engine. */
public final class Training {

    private Training() {}

    /**
     * Prepares, trains, and writes the output folder.
     *
     * @param interrupted asked after every step; true ends the run with a checkpoint
     * @return false if the run was interrupted
     * @throws dev.loranative.errors.UserException for wrong input, found before the first step, and for a run that failed
     */
    public static boolean run(TrainConfig config, TrainListener listener, BooleanSupplier interrupted) {
        try (TrainSetup setup = new TrainPreparation(config, listener).prepare()) {
            return new Trainer(setup, new RunOutput(setup, listener), listener, interrupted).run();
        }
    }
}
