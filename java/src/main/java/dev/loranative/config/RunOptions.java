package dev.loranative.config;

import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * How long to train and what to leave behind.
 *
 * @param batchSize sequences in a micro-batch
 * @param evalBatchSize sequences in a micro-batch of an evaluation
 * @param gradientAccumulationSteps micro-batches in an optimizer step
 * @param maxSteps optimizer steps; empty: {@code numTrainEpochs} decides
 * @param loggingSteps steps between lines of progress
 * @param evalSteps empty: only at the end
 * @param saveSteps empty: no checkpoints
 * @param saveTotalLimit empty: every checkpoint stays
 * @param samplePrompt what the model continues before and after; empty: nothing
 */
public record RunOptions(
        Path outputDir,
        Optional<Path> initAdapter,
        Resume resume,
        int batchSize,
        int evalBatchSize,
        int gradientAccumulationSteps,
        double numTrainEpochs,
        OptionalInt maxSteps,
        long seed,
        int loggingSteps,
        OptionalInt evalSteps,
        OptionalInt saveSteps,
        OptionalInt saveTotalLimit,
        Optional<String> samplePrompt,
        int sampleMaxNewTokens) {

    static RunOptions from(ConfigValues values) {
        Resume resume = values.get(TrainKeys.RESUME);
        int maxSteps = values.get(TrainKeys.MAX_STEPS);
        return new RunOptions(
                values.get(TrainKeys.OUTPUT_DIR),
                Optional.ofNullable(values.get(TrainKeys.INIT_ADAPTER)),
                resume == null ? Resume.NO : resume,
                values.get(TrainKeys.BATCH_SIZE),
                values.get(TrainKeys.EVAL_BATCH_SIZE),
                values.get(TrainKeys.GRADIENT_ACCUMULATION_STEPS),
                values.get(TrainKeys.NUM_TRAIN_EPOCHS),
                maxSteps < 0 ? OptionalInt.empty() : OptionalInt.of(maxSteps),
                values.get(TrainKeys.SEED),
                values.get(TrainKeys.LOGGING_STEPS),
                values.optionalInt(TrainKeys.EVAL_STEPS),
                values.optionalInt(TrainKeys.SAVE_STEPS),
                values.optionalInt(TrainKeys.SAVE_TOTAL_LIMIT),
                Optional.ofNullable(values.get(TrainKeys.SAMPLE_PROMPT)),
                values.get(TrainKeys.SAMPLE_MAX_NEW_TOKENS));
    }
}
