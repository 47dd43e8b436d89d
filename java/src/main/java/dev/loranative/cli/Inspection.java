package dev.loranative.cli;

import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * What a model consists of, and what of it would be trained.
 *
 * @param parameters of the model; a tied head counts once
 * @param tiedHead whether the head is the embedding
 * @param trainable empty if nobody asked
 */
record Inspection(
        String modelType, long parameters, boolean tiedHead, List<LinearModule> modules, List<Trained> trainable) {

    /**
     * One module that would be trained.
     *
     * @param name as in the checkpoint; of an adapter, as in its file
     */
    record Trained(LinearModule module, String name, int r, double alpha) {

        long parameters() {
            return r * (module.in() + module.out());
        }
    }

    private record Shape(long out, long in) {
        @Override
        public String toString() {
            return "[" + out + ", " + in + "]";
        }
    }

    private record Settings(int r, double alpha, Shape shape) {}

    long trainableParameters() {
        return trainable.stream().mapToLong(Trained::parameters).sum();
    }

    /** {@code mlp.gate} is a {@code router}, whatever its name. */
    static String kind(LinearModule module) {
        return module.kind().name().toLowerCase(Locale.ROOT);
    }

    private static Shape shape(LinearModule module) {
        return new Shape(module.out(), module.in());
    }

    ObjectNode json() {
        ObjectNode json =
                Console.JSON.createObjectNode().put("model_type", modelType).put("parameters", parameters);
        ArrayNode all = json.putArray("modules");
        for (LinearModule module : modules) {
            ObjectNode entry = all.addObject().put("name", module.name()).put("kind", kind(module));
            entry.putArray("shape").add(module.out()).add(module.in());
        }
        ArrayNode trained = json.putArray("trainable");
        for (Trained target : trainable) {
            trained.addObject()
                    .put("name", target.name())
                    .put("r", target.r())
                    .put("alpha", target.alpha())
                    .put("parameters", target.parameters());
        }
        return json.put("trainable_parameters", trainableParameters());
    }

    /** Lines for people. */
    List<String> text() {
        List<String> lines = new ArrayList<>();
        lines.add(modelType + ", " + Quantities.count(parameters) + " parameters");
        TextTable table = new TextTable("  ", false, true, false, true);
        for (Kind kind : Kind.values()) {
            List<LinearModule> ofKind =
                    modules.stream().filter(module -> module.kind() == kind).toList();
            if (!ofKind.isEmpty()) {
                addSection(table, kind, ofKind);
            }
        }
        lines.addAll(table.lines());
        if (!trainable.isEmpty()) {
            lines.addAll(trainedSection());
        }
        return lines;
    }

    private void addSection(TextTable table, Kind kind, List<LinearModule> ofKind) {
        String tied = kind == Kind.HEAD && tiedHead ? ", tied to the embedding" : "";
        table.heading("");
        table.heading(kind.name().toLowerCase(Locale.ROOT) + ": " + modules(ofKind.size()) + tied);
        NamePattern.of(ofKind, module -> module, LinearModule::name, Inspection::shape)
                .forEach(pattern -> {
                    LinearModule first = pattern.members().getFirst();
                    long count = pattern.members().size();
                    table.row(
                            pattern.text(),
                            String.valueOf(count),
                            "x " + shape(first),
                            Quantities.count(count * first.out() * first.in()));
                });
    }

    private List<String> trainedSection() {
        TextTable table = new TextTable("  ", false, true, false, false, true);
        NamePattern.of(
                        trainable,
                        Trained::module,
                        Trained::name,
                        target -> new Settings(target.r(), target.alpha(), shape(target.module())))
                .forEach(pattern -> {
                    Trained first = pattern.members().getFirst();
                    long count = pattern.members().size();
                    table.row(
                            pattern.text(),
                            String.valueOf(count),
                            "r " + first.r(),
                            "alpha " + plain(first.alpha()),
                            Quantities.count(count * first.parameters()));
                });
        List<String> lines = new ArrayList<>();
        lines.add("");
        lines.add("would be trained: " + modules(trainable.size()) + ", " + Quantities.count(trainableParameters())
                + " parameters, " + Quantities.percent((double) trainableParameters() / parameters)
                + " of the model");
        lines.addAll(table.lines());
        return lines;
    }

    private static String modules(int count) {
        return Quantities.count(count) + (count == 1 ? " module" : " modules");
    }

    private static String plain(double alpha) {
        return alpha == Math.rint(alpha) ? String.valueOf((long) alpha) : String.valueOf(alpha);
    }
}
