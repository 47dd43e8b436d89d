package dev.loranative.config;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What is read, and how samples become sequences.
 *
 * @param dataset files, in this order
 * @param evalDataset empty: no evaluation
 * @param maxLength tokens after which a sequence is cut; empty: never
 * @param completionOnlyLoss empty: where a sample has a prompt
 * @param shuffle whether every epoch has its own order; else the order of the files
 */
public record DatasetOptions(
        List<Path> dataset,
        List<Path> evalDataset,
        OptionalInt maxLength,
        Optional<Boolean> completionOnlyLoss,
        boolean shuffle) {

    static DatasetOptions from(ConfigValues values) {
        List<Path> evaluation = values.get(TrainKeys.EVAL_DATASET);
        return new DatasetOptions(
                values.get(TrainKeys.DATASET),
                evaluation == null ? List.of() : evaluation,
                values.optionalInt(TrainKeys.MAX_LENGTH),
                Optional.ofNullable(values.get(TrainKeys.COMPLETION_ONLY_LOSS)),
                values.get(TrainKeys.TRAIN_SAMPLING_STRATEGY).equals("random"));
    }
}
