package dev.loranative.train;

import dev.loranative.config.TrainConfig;
import dev.loranative.device.Device;
import dev.loranative.model.ModelSource;

/**
 * The steps of a training that leaves nothing behind: prepared, planned and computed as {@link Training} does, for
 * measuring. No output folder, no checkpoints, no adapter.
 */
public final class TrialTraining implements AutoCloseable {

    private final TrainSetup setup;
    private final Trainer trainer;

    private TrialTraining(TrainSetup setup, TrainListener listener) {
        this.setup = setup;
        this.trainer = new Trainer(setup, new RunOutput(setup, listener), listener, () -> false);
    }

    /**
     * Loads the model, attaches adapters, plans the memory and takes it.
     *
     * @param config its output_dir is not used, its model path only where a tokenizer is needed
     * @param model closed with the result, or if there is none; so is the device
     * @throws dev.loranative.errors.UserException for wrong input; with exit code 3 if it does not fit
     */
    public static TrialTraining start(TrainConfig config, ModelSource model, Device device, TrainListener listener) {
        return new TrialTraining(new TrainPreparation(config, listener).prepare(model, device), listener);
    }

    /** What the run takes. */
    public MemoryPlan memory() {
        return setup.memory();
    }

    /** Numbers that are trained. */
    public long trainedParameters() {
        return setup.adapters().arena().size();
    }

    /**
     * The next optimizer step.
     *
     * @throws dev.loranative.errors.UserException if loss or gradients are no numbers any more
     */
    public StepMetrics step() {
        return trainer.next();
    }

    @Override
    public void close() {
        setup.close();
    }
}
