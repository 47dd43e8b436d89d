package dev.loranative.lora;

import dev.loranative.config.ConfigParser;
import dev.loranative.config.InitLoraWeights;
import dev.loranative.config.Key;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.ParserMessage;
import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/**
 * {@code adapter_config.json} as PEFT reads and writes it.
 *
 * @param baseModel {@code base_model_name_or_path}: where the base model was, not necessarily where it is
 * @param peftVersion version of PEFT that wrote the file, if it says so
 * @param warnings what was ignored when reading, one line each
 */
public record AdapterConfig(
        LoraConfig lora, Optional<String> baseModel, Optional<String> peftVersion, List<String> warnings) {

    public static final String FILE = "adapter_config.json";

    /** Of no version of PEFT. */
    public AdapterConfig(LoraConfig lora, Optional<String> baseModel, List<String> warnings) {
        this(lora, baseModel, Optional.empty(), warnings);
    }

    private static final JsonMapper JSON = JsonMapper.builder().build();

    /** Keys of PEFT's configuration that say nothing about the weights. */
    private static final Set<String> OUTSIDE = Set.of(
            "peft_type", "peft_version", "base_model_name_or_path", "inference_mode", "revision", "auto_mapping");

    private static final Pattern CHANGING_INITS =
            Pattern.compile("(?:pissa|corda).*|olora|loftq|lora_ga", Pattern.CASE_INSENSITIVE);

    /** Keys that only mattered when the training began. */
    private static final Set<String> BEFORE_TRAINING = Set.of(
            LoraKeys.INIT_LORA_WEIGHTS.name(),
            "loftq_config",
            "eva_config",
            "corda_config",
            "lora_ga_config",
            "runtime_config",
            "megatron_core",
            "qalora_group_size");

    /** As {@link #read(Path, boolean)}, of an adapter whose tensors do not matter. */
    public static AdapterConfig read(Path folder) {
        return read(folder, false);
    }

    /** Where the configuration in a folder says that the base model is, whatever else it holds. */
    public static Optional<String> baseModelOf(Path folder) {
        return Optional.ofNullable(json(folder.resolve(FILE)).get("base_model_name_or_path"))
                .map(Object::toString);
    }

    /**
     * Reads the configuration in an adapter's folder. Unknown keys are ignored with a warning, as in PEFT.
     *
     * @param sharedExperts whether the tensors' file says that all experts of a layer share an update
     * @throws UserException if there is none, it is no LoRA configuration, or it asks for what is not supported yet
     */
    static AdapterConfig read(Path folder, boolean sharedExperts) {
        Path file = folder.resolve(FILE);
        Map<String, Object> map = json(file);
        Object type = map.get("peft_type");
        if (type == null) {
            throw UserException.badInput(file + " has no peft_type", "give the folder of a PEFT adapter of type LORA");
        }
        if (!type.toString().equals("LORA")) {
            throw UserException.badInput(
                    file + ": peft_type " + type + " is not supported", "only adapters of type LORA can be read");
        }
        ConfigParser parser = new ConfigParser(LoraKeys.ALL);
        Map<String, Object> lora = new LinkedHashMap<>();
        List<String> warnings = new ArrayList<>();
        map.forEach((name, value) -> {
            boolean known = parser.knows(name) && !isOurs(name);
            if (known && !BEFORE_TRAINING.contains(name)) {
                lora.put(name, value);
            } else if (!known && !OUTSIDE.contains(name)) {
                warnings.add(file + ": unknown key '" + name + "' is ignored");
            }
        });
        requireBooleans(lora, file);
        // A missing map means no patterns; PEFT writes {} but reads null too.
        lora.entrySet()
                .removeIf(entry -> entry.getValue() == null && entry.getKey().endsWith("_pattern"));
        lora.put(LoraKeys.SHARE_EXPERT_ADAPTERS.name(), sharedExperts);
        changedBase(map)
                .ifPresent(init -> warnings.add(file + ": init_lora_weights is " + init
                        + ": training changed the base model's weights too; on the original base this adapter computes something"
                        + " else, unless it was converted to a plain LoRA (path_initial_model_for_weight_conversion)"));
        try {
            return new AdapterConfig(
                    LoraConfig.from(parser.parse(lora, file.toString())),
                    text(map, "base_model_name_or_path"),
                    text(map, "peft_version"),
                    warnings);
        } catch (UserException e) {
            throw UserException.badInput(
                    e.getMessage(),
                    "correct that file if it was changed by hand, or give another adapter: LoRA is read, in the forms that"
                            + " PEFT writes for causal language models");
        }
    }

    /** A text in place of true or false means true to Python, whatever it says. */
    private static void requireBooleans(Map<String, Object> lora, Path file) {
        for (Key<?> key : LoraKeys.ALL) {
            if (key.defaultValue() instanceof Boolean && lora.get(key.name()) instanceof String text) {
                throw UserException.badInput(
                        file + ": " + key.name() + " is the text \"" + text + "\", expected true or false",
                        "write true or false without quotes, or give another adapter");
            }
        }
    }

    private static boolean isOurs(String name) {
        return LoraKeys.OURS.stream().anyMatch(key -> key.name().equals(name));
    }

    private static Optional<String> text(Map<String, Object> map, String key) {
        return Optional.ofNullable(map.get(key)).map(Object::toString);
    }

    /** The initialisation, if it is one that subtracts the first update from the base. */
    private static Optional<String> changedBase(Map<String, Object> map) {
        return text(map, LoraKeys.INIT_LORA_WEIGHTS.name())
                .filter(init -> CHANGING_INITS.matcher(init).matches());
    }

    private static Map<String, Object> json(Path file) {
        try {
            Object root = JSON.readValue(Files.readString(file), Object.class);
            if (root instanceof Map<?, ?> map) {
                Map<String, Object> copy = new LinkedHashMap<>();
                map.forEach((key, value) -> copy.put(String.valueOf(key), value));
                return copy;
            }
            throw UserException.badInput(file + " does not hold a JSON object", "give the folder of a PEFT adapter");
        } catch (JacksonException e) {
            int line = e.getLocation() == null ? 0 : e.getLocation().getLineNr();
            throw UserException.badInput(
                    file + ":" + line + " is not valid JSON: " + ParserMessage.plain(e.getOriginalMessage()),
                    "restore the file, or give another adapter");
        } catch (IOException e) {
            throw UserException.badInput(
                    "cannot read " + file + (Files.exists(file) ? ": " + e.getMessage() : ": no such file"),
                    "give the folder of a PEFT adapter: " + FILE + " and " + AdapterFiles.TENSORS);
        }
    }

    /**
     * The file's text: every key of PEFT 0.21, sorted, one a line.
     *
     * @param layout what PEFT has to read so that it means these targets
     */
    static String text(LoraConfig lora, Optional<String> baseModel, PeftLayout layout) {
        Map<String, Object> map = new TreeMap<>();
        LoraKeys.ALL.forEach(key -> map.put(key.name(), key.write(key.defaultValue())));
        map.remove("runtime_config");
        LoraKeys.OURS.forEach(key -> map.remove(key.name()));
        map.putAll(layout.settings());
        map.put("r", lora.r());
        map.put("lora_alpha", number(lora.loraAlpha()));
        map.put("lora_dropout", layout.dropout(lora.loraDropout()));
        map.put("use_rslora", lora.useRslora());
        map.put("use_dora", lora.useDora());
        map.put("lora_bias", lora.loraBias());
        map.put("init_lora_weights", lora.initLoraWeights() == InitLoraWeights.GAUSSIAN ? "gaussian" : true);
        map.put("task_type", lora.taskType().orElse(null));
        map.put("peft_type", "LORA");
        map.put("peft_version", "0.21.0");
        map.put("base_model_name_or_path", baseModel.orElse(null));
        map.put("inference_mode", true);
        map.put("revision", null);
        map.put("auto_mapping", null);
        StringBuilder text = new StringBuilder("{");
        String separator = "\n";
        for (Map.Entry<String, Object> entry : map.entrySet()) {
            text.append(separator).append("  ").append(JSON.writeValueAsString(entry.getKey()));
            text.append(": ").append(JSON.writeValueAsString(entry.getValue()));
            separator = ",\n";
        }
        return text.append("\n}\n").toString();
    }

    /** Whole numbers without a fraction, as PEFT writes them. */
    static Object number(double value) {
        return value == Math.rint(value) && Math.abs(value) < 1L << 53 ? (Object) (long) value : (Object) value;
    }
}
