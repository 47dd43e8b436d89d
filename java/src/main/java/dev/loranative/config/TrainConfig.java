package dev.loranative.config;

import dev.loranative.errors.UserException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * Everything {@code train} was asked to do. Each key's name, default and range are in {@link TrainKeys} and
 * {@link LoraKeys}; a value is the default, unless the YAML file has it, unless a flag has it.
 *
 * @param values what the records were made of, for {@link #toYaml()}
 */
public record TrainConfig(
        ModelOptions model,
        DatasetOptions data,
        LoraConfig lora,
        OptimizerOptions optimizer,
        ScheduleOptions schedule,
        RunOptions run,
        MachineOptions machine,
        ConfigValues values) {

    /**
     * @param yaml the file of {@code --config}, unless the flags name one
     * @throws UserException for unknown keys, wrong values, missing model, data or output, and what is not supported yet
     */
    public static TrainConfig parse(Optional<Path> yaml, List<String> flags) {
        return of(new ConfigParser(TrainKeys.ALL).parse(yaml, flags));
    }

    public static TrainConfig of(ConfigValues values) {
        require(values, TrainKeys.MODEL, "--model DIR");
        require(values, TrainKeys.DATASET, "--data FILE");
        require(values, TrainKeys.OUTPUT_DIR, "--output DIR");
        return new TrainConfig(
                ModelOptions.from(values),
                DatasetOptions.from(values),
                LoraConfig.from(values),
                OptimizerOptions.from(values),
                ScheduleOptions.from(values),
                RunOptions.from(values),
                MachineOptions.from(values),
                values);
    }

    /** Refuses a missing value: the message names the key, the hint the flag. */
    public static void require(ConfigValues values, Key<?> key, String flag) {
        if (values.get(key) == null) {
            throw UserException.badInput(
                    key.name() + " is missing", "give " + flag + ", or " + key.name() + " in the --config file");
        }
    }

    /** {@code train_config.yaml}: every value as used; read again it gives the same configuration. */
    public String toYaml() {
        return ConfigText.yaml(values);
    }
}
