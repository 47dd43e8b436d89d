package dev.loranative.train;

import dev.loranative.errors.UserException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * Where a run stands, beside the tensors: enough to go on as if it had never stopped.
 *
 * @param step optimizer steps taken
 * @param microBatches micro-batches taken: names the dropout masks
 * @param settings every setting that the result depends on, and a digest of the data
 */
record RunState(int step, long microBatches, Map<String, String> settings) {

    /** Settings that may change between the parts of a run: they do not change its result. */
    private static final Set<String> FREE = Set.of(
            "output_dir",
            "dataset",
            "eval_dataset",
            "model_name_or_path",
            "init_adapter",
            "resume_from_checkpoint",
            "per_device_eval_batch_size",
            "logging_steps",
            "eval_steps",
            "save_steps",
            "save_total_limit",
            "report_to",
            "device",
            "threads",
            "max_memory",
            "gradient_checkpointing",
            "sample_prompt",
            "sample_max_new_tokens");

    /** Whether the result does not depend on the setting of that name. */
    static boolean isFree(String key) {
        return FREE.contains(key);
    }

    RunState {
        settings = new LinkedHashMap<>(settings);
    }

    /**
     * @param config every key and value as used
     * @param dataDigest of all samples
     */
    static Map<String, String> settings(Map<String, Object> config, String dataDigest, int totalSteps) {
        Map<String, String> settings = new LinkedHashMap<>();
        config.forEach((key, value) -> {
            if (!FREE.contains(key)) {
                settings.put(key, String.valueOf(value));
            }
        });
        settings.put("data", dataDigest);
        settings.put("total_steps", String.valueOf(totalSteps));
        return settings;
    }

    /** Refuses to go on with other settings than those that this state was reached with. */
    void requireSame(Map<String, String> now, String checkpoint) {
        now.forEach((key, value) -> {
            String before = settings.get(key);
            if (before != null && !before.equals(value)) {
                throw UserException.badInput(
                        "cannot resume from " + checkpoint + ": " + key + " was " + before + ", is " + value,
                        "use the settings in its train_config.yaml, or start anew in another output_dir with init_adapter");
            }
        });
    }
}
