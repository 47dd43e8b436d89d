package dev.loranative.train;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.config.Resume;
import dev.loranative.errors.ParserMessage;
import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The folders {@code checkpoint-N} of a run: complete or absent. */
final class Checkpoints {

    static final String STATE = "trainer_state.json";
    static final String OPTIMIZER = "optimizer.safetensors";

    private static final Pattern NAME = Pattern.compile("checkpoint-(\\d{1,9})");
    private static final JsonMapper JSON = JsonMapper.shared();

    private final Path outputDir;

    Checkpoints(Path outputDir) {
        this.outputDir = outputDir;
    }

    /** What {@code resume_from_checkpoint} means in this output folder; empty for a fresh start. */
    Optional<Path> toResume(Resume resume) {
        return switch (resume) {
            case Resume.Not _ -> Optional.empty();
            case Resume.Newest _ ->
                Optional.of(
                        newest().orElseThrow(
                                        () -> UserException.badInput(
                                                "resume_from_checkpoint is true, but " + outputDir
                                                        + " has no checkpoint",
                                                "leave resume_from_checkpoint out and start anew in an empty folder, or name a checkpoint folder")));
            case Resume.From from -> {
                if (!Files.isRegularFile(from.checkpoint().resolve(STATE))) {
                    throw UserException.badInput(
                            "resume_from_checkpoint '" + from.checkpoint() + "' is not a checkpoint: it has no "
                                    + STATE,
                            "name a folder such as " + outputDir.resolve("checkpoint-100"));
                }
                yield Optional.of(from.checkpoint());
            }
        };
    }

    Optional<Path> newest() {
        return all().stream().reduce((_, later) -> later);
    }

    /** Oldest first. */
    private List<Path> all() {
        if (!Files.isDirectory(outputDir)) {
            return List.of();
        }
        try (Stream<Path> entries = Files.list(outputDir)) {
            return entries.filter(entry -> step(entry).isPresent() && Files.isRegularFile(entry.resolve(STATE)))
                    .sorted(Comparator.comparingInt(entry -> step(entry).orElseThrow()))
                    .toList();
        } catch (IOException e) {
            throw UserException.badInput(
                    "cannot read output_dir " + outputDir + ": " + e.getMessage(), "choose a readable folder");
        }
    }

    private static OptionalInt step(Path folder) {
        Matcher name = NAME.matcher(folder.getFileName().toString());
        return name.matches() ? OptionalInt.of(Integer.parseInt(name.group(1))) : OptionalInt.empty();
    }

    /**
     * Writes a checkpoint, then removes the oldest ones beyond the limit.
     *
     * @param adapter writes the adapter's files into a folder
     */
    Path save(RunState state, Consumer<Path> adapter, OptimizerFile optimizer, OptionalInt limit) {
        Path folder = outputDir.resolve("checkpoint-" + state.step());
        AtomicFiles.writeDirectory(folder, staging -> {
            fill(staging, state, adapter, optimizer);
            return folder;
        });
        if (limit.isPresent()) {
            List<Path> all = all();
            all.subList(0, Math.max(0, all.size() - limit.getAsInt())).forEach(AtomicFiles::deleteDirectory);
        }
        return folder;
    }

    private static void fill(Path staging, RunState state, Consumer<Path> adapter, OptimizerFile optimizer) {
        adapter.accept(staging);
        optimizer.write(staging);
        AtomicFiles.writeString(
                staging.resolve(STATE), JSON.writerWithDefaultPrettyPrinter().writeValueAsString(state) + "\n");
    }

    static RunState readState(Path checkpoint) {
        Path file = checkpoint.resolve(STATE);
        JsonNode state;
        try {
            state = JSON.readTree(Files.readString(file));
        } catch (JacksonException e) {
            throw broken(file, ParserMessage.plain(e.getOriginalMessage()));
        } catch (IOException e) {
            throw broken(file, "it cannot be read as text (" + e + ")");
        }
        if (!state.isObject()) {
            throw broken(file, "it is not a JSON object");
        }
        JsonNode step = state.path("step");
        JsonNode microBatches = state.path("microBatches");
        JsonNode settings = state.path("settings");
        if (!step.isInt() || step.intValue() < 1) {
            throw broken(file, "step is " + shown(step) + ", not a whole number above 0");
        }
        if (!microBatches.isIntegralNumber() || microBatches.longValue() < step.intValue()) {
            throw broken(file, "microBatches is " + shown(microBatches) + ", not a whole number of at least step");
        }
        if (!settings.hasNonNull("data")) {
            throw broken(file, "it does not hold the settings of the run");
        }
        OptionalInt named = step(checkpoint);
        if (named.isPresent() && named.getAsInt() != step.intValue()) {
            throw broken(file, "step is " + step + " in a folder named " + checkpoint.getFileName());
        }
        Map<String, String> texts = new LinkedHashMap<>();
        settings.properties()
                .forEach(entry -> texts.put(entry.getKey(), entry.getValue().asString()));
        return new RunState(step.intValue(), microBatches.longValue(), texts);
    }

    private static String shown(JsonNode value) {
        return value.isMissingNode() ? "missing" : value.toString();
    }

    static UserException broken(Path file, String what) {
        return UserException.badInput(
                "checkpoint file " + file + " is broken: " + what, "resume from another checkpoint");
    }
}
