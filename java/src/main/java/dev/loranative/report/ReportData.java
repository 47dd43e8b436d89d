package dev.loranative.report;

import java.nio.file.Path;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a report shows. All texts may hold anything: they are escaped when they are written.
 *
 * @param model name of the model
 * @param output folder of the run
 * @param written when the report was made; the only thing in it that is not about the run
 * @param totalSteps optimizer steps that the whole run has
 * @param run what is trained and on what, in words
 * @param samples texts that the model wrote, in their order
 * @param memoryParts planned bytes by part, in the order of the plan
 * @param routing empty where nobody counted
 * @param settings every value as used, in the order of the configuration
 * @param environment versions and device
 */
public record ReportData(
        String model,
        Path output,
        Instant written,
        Outcome outcome,
        int totalSteps,
        RunMetrics metrics,
        List<Fact> run,
        List<Sample> samples,
        Map<String, Long> memoryParts,
        Optional<Routing> routing,
        List<Setting> settings,
        List<Fact> environment) {

    public ReportData {
        run = List.copyOf(run);
        samples = List.copyOf(samples);
        memoryParts = new LinkedHashMap<>(memoryParts);
        settings = List.copyOf(settings);
        environment = List.copyOf(environment);
    }

    /** A name and what there is to say about it. */
    public record Fact(String name, String value) {}

    /**
     * A text that the model wrote.
     *
     * @param title when it wrote it
     * @param prompt what it was given
     * @param continuation what it added
     */
    public record Sample(String title, String prompt, String continuation) {}

    /**
     * A value of the configuration.
     *
     * @param origin the file and line or the flag that gave it; empty for a default
     */
    public record Setting(String group, String key, String value, Optional<String> origin) {}

    /** How far a run came. */
    public sealed interface Outcome {

        /** The run goes on, or was killed. */
        record Running() implements Outcome {}

        record Finished() implements Outcome {}

        /** The user stopped it; its state is saved. */
        record Interrupted() implements Outcome {}

        /** @param reason one line */
        record Failed(String reason) implements Outcome {}
    }
}
