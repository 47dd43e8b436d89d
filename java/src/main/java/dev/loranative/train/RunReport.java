package dev.loranative.train;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.data.DataReport;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapters;
import dev.loranative.model.LinearModule;
import dev.loranative.report.Report;
import dev.loranative.report.ReportData;
import dev.loranative.report.ReportData.Fact;
import dev.loranative.report.ReportData.Outcome;
import dev.loranative.report.ReportData.Sample;
import dev.loranative.report.ReportData.Setting;
import dev.loranative.report.Routing;
import dev.loranative.report.RunMetrics;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import tools.jackson.databind.json.JsonMapper;

/** {@code report.html}: collects what metrics.jsonl does not say. A report that cannot be written never ends a run. */
final class RunReport {

    private static final JsonMapper JSON = JsonMapper.shared();

    private final TrainSetup setup;
    private final OutputFolder folder;
    private final TrainListener listener;
    private final RoutingHistory routing = new RoutingHistory();
    private final List<Sample> samples = new ArrayList<>();

    RunReport(TrainSetup setup, OutputFolder folder, TrainListener listener) {
        this.setup = setup;
        this.folder = folder;
        this.listener = listener;
    }

    /** @param text begins with sample_prompt */
    void sample(String title, String text) {
        String prompt =
                setup.config().run().samplePrompt().filter(text::startsWith).orElse("");
        samples.add(new Sample(title, prompt, text.substring(prompt.length())));
    }

    /** Choices of experts in a micro-batch, all layers together. */
    void routed(int step, long[] choices) {
        routing.add(step, choices);
    }

    void write(Outcome outcome) {
        try {
            Report.write(folder.report(), data(outcome));
        } catch (RuntimeException e) {
            String reason = e instanceof UserException ? e.getMessage() : "internal: " + e;
            listener.warning("the report is missing or old: " + reason);
        }
    }

    private ReportData data(Outcome outcome) {
        Path model = setup.config().model().path().toAbsolutePath().normalize();
        Routing counted = routing.routing();
        return new ReportData(
                model.getFileName() == null
                        ? model.toString()
                        : model.getFileName().toString(),
                folder.path(),
                Instant.now(),
                outcome,
                setup.totalSteps(),
                RunMetrics.read(folder.metrics()),
                facts(),
                samples,
                setup.memory().parts(),
                counted.intervals().isEmpty() ? Optional.empty() : Optional.of(counted),
                settings(),
                environment());
    }

    private List<Fact> facts() {
        List<Fact> facts = new ArrayList<>();
        facts.add(new Fact("model", setup.config().model().path().toString()));
        facts.add(new Fact(
                "architecture", setup.model().config().modelType() + format(", %,d parameters", setup.parameters())));
        long trained = setup.adapters().arena().size();
        facts.add(new Fact(
                "trained",
                format("%,d parameters (%.3g %% of the model) in ", trained, 100.0 * trained / setup.parameters())
                        + what()));
        facts.add(new Fact("data", paths(setup.config().data().dataset())));
        DataReport data = setup.data();
        facts.add(new Fact(
                "samples",
                format("%,d with %,d tokens, %,d of them targets", data.samples(), data.tokens(), data.targets())));
        if (!setup.config().data().evalDataset().isEmpty()) {
            facts.add(new Fact("evaluation data", paths(setup.config().data().evalDataset())));
        }
        if (setup.start().step() > 0) {
            facts.add(new Fact("resumed", format("after step %,d", setup.start().step())));
        }
        boolean counted = RouterCoefficients.of(setup.config().model()).areOn();
        if (setup.model().config().moe().isPresent() && !counted) {
            facts.add(new Fact("routing", "not counted: that comes with router_aux_loss_coef, which is off"));
        }
        return facts;
    }

    private String what() {
        Adapters adapters = setup.adapters();
        List<String> parts = new ArrayList<>();
        if (adapters.count() > 0) {
            parts.add(format("%,d modules: ", adapters.count()) + kinds());
        }
        if (adapters.fullCount() > 0) {
            parts.add(format("%,d tensors in full", adapters.fullCount()));
        }
        if (adapters.tokenCount() > 0) {
            parts.add(format("%,d rows of tokens", adapters.tokenCount()));
        }
        return String.join("; ", parts);
    }

    private String kinds() {
        Map<LinearModule.Kind, Long> kinds = new TreeMap<>(setup.adapters().modules().stream()
                .collect(Collectors.groupingBy(LinearModule::kind, Collectors.counting())));
        return kinds.entrySet().stream()
                .map(kind ->
                        format("%,d ", kind.getValue()) + kind.getKey().name().toLowerCase(Locale.ROOT))
                .collect(Collectors.joining(", "));
    }

    private static String paths(List<Path> paths) {
        return paths.stream().map(Path::toString).collect(Collectors.joining("\n"));
    }

    private List<Setting> settings() {
        ConfigValues values = setup.config().values();
        Map<String, Object> written = values.toMap();
        List<Setting> settings = new ArrayList<>();
        for (Key<?> key : values.keys()) {
            Object value = written.get(key.name());
            settings.add(new Setting(
                    key.group(),
                    key.name(),
                    value instanceof String text ? text : JSON.writeValueAsString(value),
                    values.isSet(key) ? Optional.of(values.origin(key)) : Optional.empty()));
        }
        return settings;
    }

    private List<Fact> environment() {
        String version = RunReport.class.getPackage().getImplementationVersion();
        return List.of(
                new Fact("lora-native", version == null ? "(unpackaged)" : version),
                new Fact("device", setup.device().description()),
                new Fact("Java", Runtime.version() + ", " + System.getProperty("java.vm.name")),
                new Fact(
                        "system",
                        System.getProperty("os.name") + " " + System.getProperty("os.version") + ", "
                                + System.getProperty("os.arch")));
    }

    private static String format(String format, Object... values) {
        return String.format(Locale.ROOT, format, values);
    }
}
