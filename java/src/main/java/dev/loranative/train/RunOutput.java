package dev.loranative.train;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.config.RunOptions;
import dev.loranative.errors.UserException;
import dev.loranative.lora.AdapterFiles;
import dev.loranative.tensor.Tensor;
import java.nio.file.Path;
import java.util.Optional;

/** What a run leaves in its output folder: configuration, metrics, checkpoints, the adapter, the report. */
final class RunOutput {

    private final TrainSetup setup;
    private final OutputFolder folder;
    private final Checkpoints checkpoints;
    private final TrainListener listener;
    private final RunReport report;
    private final RunCard card;

    RunOutput(TrainSetup setup, TrainListener listener) {
        this.setup = setup;
        this.listener = listener;
        this.folder = new OutputFolder(setup.config().run().outputDir());
        this.checkpoints = new Checkpoints(folder.path());
        this.report = new RunReport(setup, folder, listener);
        this.card = new RunCard(setup);
    }

    /** From here on the folder exists, and is this run's alone. */
    RunLock lock() {
        folder.create();
        RunLock lock = RunLock.acquire(folder.path());
        if (setup.start().step() == 0) {
            try {
                // Since the preparation looked, another process may have begun and even finished here.
                folder.requireFree();
            } catch (RuntimeException e) {
                lock.close();
                throw e;
            }
        }
        return lock;
    }

    /** Under {@link #lock}. */
    MetricsLog begin() {
        AtomicFiles.writeString(folder.config(), setup.config().toYaml());
        return setup.start().step() == 0
                ? MetricsLog.create(folder.metrics())
                : MetricsLog.continueAfter(folder.metrics(), setup.start().step());
    }

    /** The loss on eval_dataset after that many steps, for the model card. */
    void evaluated(int step, double loss) {
        card.evaluated(step, loss);
    }

    boolean saveIsDue(int step) {
        RunOptions run = setup.config().run();
        return run.saveSteps().isPresent() && step % run.saveSteps().getAsInt() == 0;
    }

    Path saveCheckpoint(int step, long microBatches, StepMetrics last) {
        RunState state = new RunState(step, microBatches, setup.settings());
        OptimizerFile optimizer = new OptimizerFile(setup.optimizer().moments(), setup.device());
        requireFinite(step, "the adapter", floats(setup.adapters().arena().values()));
        optimizer.notFinite().ifPresent(value -> {
            throw unstable(step, "the update made the optimizer's state hold " + value);
        });
        return checkpoints.save(
                state,
                staging -> AdapterFiles.writeExactly(
                        staging,
                        setup.lora(),
                        baseModel(),
                        setup.model().tree(),
                        setup.adapters().values(),
                        card.of(last)),
                optimizer,
                setup.config().run().saveTotalLimit());
    }

    /** To be written after {@link #begin} only: it replaces the one that is there. */
    RunReport report() {
        return report;
    }

    /** What ends a run whose numbers are no numbers any more. */
    UserException unstable(int step, String what) {
        return UserException.failed(
                "training became unstable at step " + step + ": " + what,
                checkpoints
                        .newest()
                        .map(checkpoint -> "lower learning_rate; the last good state is " + checkpoint)
                        .orElse("lower learning_rate, or check the data; no checkpoint had been written yet"));
    }

    /** An update can overflow while the loss before it is still finite: such a state is never written. */
    private void requireFinite(int step, String what, float[] values) {
        for (float value : values) {
            if (!Float.isFinite(value)) {
                throw unstable(step, "the update made " + what + " hold " + value);
            }
        }
    }

    /** The result of the run after that many steps. */
    void finish(int step, StepMetrics last) {
        requireFinite(step, "the adapter", floats(setup.adapters().arena().values()));
        AdapterFiles.write(
                        folder.path(),
                        setup.lora(),
                        baseModel(),
                        setup.model().tree(),
                        setup.adapters().values(),
                        card.of(last))
                .forEach(listener::warning);
    }

    private Optional<String> baseModel() {
        return Optional.of(setup.config().model().path().toString());
    }

    private float[] floats(Tensor tensor) {
        return tensor.toFloats(setup.device());
    }
}
