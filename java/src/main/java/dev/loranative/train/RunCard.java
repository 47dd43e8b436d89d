package dev.loranative.train;

import dev.loranative.checkpoint.ContentHash;
import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.LoraKeys;
import dev.loranative.config.TrainKeys;
import dev.loranative.data.DataReport;
import dev.loranative.lora.ModelCard;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import tools.jackson.databind.json.JsonMapper;

/** What a run says about itself in the README.md beside its adapter. */
final class RunCard {

    private static final JsonMapper JSON = JsonMapper.builder().build();

    /** Of interest also where they have their defaults. */
    private static final Set<Key<?>> ALWAYS = Set.of(
            TrainKeys.LEARNING_RATE,
            TrainKeys.BATCH_SIZE,
            TrainKeys.GRADIENT_ACCUMULATION_STEPS,
            TrainKeys.LR_SCHEDULER_TYPE,
            TrainKeys.MAX_LENGTH,
            TrainKeys.SEED,
            TrainKeys.WEIGHT_DECAY,
            TrainKeys.MAX_GRAD_NORM);

    private final TrainSetup setup;
    private OptionalInt evaluatedAt = OptionalInt.empty();
    private double evalLoss;

    /** Found when the first card is written: files as long as these take their time. */
    private String baseContent;

    private List<String> data;

    RunCard(TrainSetup setup) {
        this.setup = setup;
    }

    void evaluated(int step, double loss) {
        evaluatedAt = OptionalInt.of(step);
        evalLoss = loss;
    }

    /** @param last the last step; null before the first */
    ModelCard of(StepMetrics last) {
        if (baseContent == null) {
            baseContent = setup.model().contentHash().toString();
            data = data();
        }
        return new ModelCard(baseContent, data, settings(), results(last), versions());
    }

    private List<String> data() {
        List<String> lines = new ArrayList<>();
        setup.config().data().dataset().forEach(file -> lines.add("trained on " + described(file)));
        DataReport report = setup.data();
        lines.add(String.format(
                Locale.ROOT,
                "in training %,d samples, %,d tokens, %,d of them targets",
                report.samples(),
                report.tokens(),
                report.targets()));
        setup.config().data().evalDataset().forEach(file -> lines.add("evaluated on " + described(file)));
        return lines;
    }

    private static String described(Path file) {
        try {
            return "`" + file.getFileName() + "`, " + Files.size(file) + " bytes, SHA-256 `" + ContentHash.ofFile(file)
                    + "`";
        } catch (IOException e) {
            return "`" + file.getFileName() + "`, which could not be read again";
        }
    }

    private Map<String, String> settings() {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("optimizer steps", String.valueOf(setup.totalSteps()));
        ConfigValues values = setup.config().values();
        Map<String, Object> written = values.toMap();
        for (Key<?> key : values.keys()) {
            Object value = written.get(key.name());
            boolean changed = value != null && !value.equals(key.write(key.defaultValue()));
            boolean ofAdapter = LoraKeys.ALL.contains(key);
            if (ALWAYS.contains(key) || changed && !ofAdapter && !RunState.isFree(key.name())) {
                settings.put(key.name(), value instanceof String text ? text : JSON.writeValueAsString(value));
            }
        }
        settings.put("optimizer", setup.config().optimizer().eightBit() ? "AdamW, moments in 8 bits" : "AdamW");
        settings.put("arithmetic", "float32");
        return settings;
    }

    private Map<String, String> results(StepMetrics last) {
        Map<String, String> results = new LinkedHashMap<>();
        if (last != null) {
            results.put("last step", String.valueOf(last.step()));
            results.put("training loss of that step", String.format(Locale.ROOT, "%.4f", last.loss()));
        }
        evaluatedAt.ifPresent(step -> {
            results.put("evaluation loss after step " + step, String.format(Locale.ROOT, "%.4f", evalLoss));
            results.put("perplexity", String.format(Locale.ROOT, "%.4f", Math.exp(evalLoss)));
        });
        return results;
    }

    private static Map<String, String> versions() {
        String version = RunCard.class.getPackage().getImplementationVersion();
        Map<String, String> versions = new LinkedHashMap<>();
        versions.put("lora-native", version == null ? "(unpackaged)" : version);
        versions.put("Java", String.valueOf(Runtime.version()));
        return versions;
    }
}
