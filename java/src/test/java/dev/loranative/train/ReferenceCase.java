package dev.loranative.train;

import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.TrainConfig;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import tools.jackson.core.json.JsonReadFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A run of transformers + PEFT in float32 (made by tools/parity/make_reference.py), to be repeated by this engine. */
public record ReferenceCase(String name, Path folder, JsonNode run) {

    /** Python writes NaN, the loss of a sequence without labels. */
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
            .build();

    private static final Path ROOT = Path.of("src", "test", "resources", "reference");

    static List<ReferenceCase> all() {
        return all(ROOT);
    }

    /** @param root a folder with a folder for each */
    public static List<ReferenceCase> all(Path root) {
        try (Stream<Path> folders = Files.list(root)) {
            return folders.filter(folder -> Files.exists(folder.resolve("run.json")))
                    .sorted()
                    .map(folder -> new ReferenceCase(folder.getFileName().toString(), folder, json(folder, "run.json")))
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static ReferenceCase of(String name) {
        return all().stream()
                .filter(found -> found.name().equals(name))
                .findFirst()
                .orElseThrow();
    }

    static JsonNode json(Path folder, String file) {
        try {
            return JSON.readTree(Files.readString(folder.resolve(file)));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The configuration that repeats the run; {@code more} flags come last and win. */
    TrainConfig config(Path output, String... more) {
        List<String> flags = new ArrayList<>(List.of(
                "--model", folder.resolve("model").toString(),
                "--data", folder.resolve("data.jsonl").toString(),
                "--output", output.toString(),
                "--init-adapter", folder.resolve("adapter_init").toString(),
                "--train-sampling-strategy", "sequential",
                // The references hold every expert under its own name.
                "--adapter-dialect", "v4"));
        run.get("train").properties().forEach(entry -> {
            flags.add("--" + entry.getKey().replace('_', '-'));
            flags.add(
                    entry.getValue().isString()
                            ? entry.getValue().stringValue()
                            : entry.getValue().toString());
        });
        if (run.path("router_aux_loss").asBoolean()) {
            flags.add("--router-aux-loss-coef");
            flags.add(json(folder.resolve("model"), "config.json")
                    .get("router_aux_loss_coef")
                    .toString());
        }
        flags.addAll(List.of("--load-in-4bit", run.get("load_in_4bit").toString()));
        if (run.has("router_z_loss_coef")) {
            flags.add("--router-z-loss-coef");
            flags.add(run.get("router_z_loss_coef").toString());
        }
        flags.addAll(List.of(more));
        return TrainConfig.parse(Optional.empty(), flags);
    }

    /** loss, grad_norm, learning_rate of every step. */
    List<JsonNode> steps() {
        List<JsonNode> steps = new ArrayList<>();
        json(folder.resolve("expected"), "trajectory.json").get("steps").forEach(steps::add);
        return steps;
    }

    double[] sequenceLosses(String key) {
        JsonNode losses = json(folder.resolve("expected"), "trajectory.json").get(key);
        double[] values = new double[losses.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = losses.get(i).asDouble();
        }
        return values;
    }

    /** All tensors of a safetensors file in the case's folder, or elsewhere. */
    static Map<String, float[]> tensors(Path path) {
        Map<String, float[]> tensors = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            for (TensorEntry entry : file.entries()) {
                tensors.put(entry.name(), FloatTensors.read(file, entry));
            }
        }
        return tensors;
    }

    @Override
    public String toString() {
        return name;
    }
}
