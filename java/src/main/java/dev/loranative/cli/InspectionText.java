package dev.loranative.cli;

import dev.loranative.cli.NamePattern.Place;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** An {@link Inspection} as lines for people, no wider than the longest name of a module asks for. */
final class InspectionText {

    private record Shape(List<Long> sizes) {
        static Shape of(LinearModule module) {
            return new Shape(List.of(module.out(), module.in()));
        }

        @Override
        public String toString() {
            return "x " + sizes;
        }
    }

    private record Settings(int r, double alpha, String extra, Shape shape) {}

    private final Inspection inspection;
    private final List<String> lines = new ArrayList<>();

    private InspectionText(Inspection inspection) {
        this.inspection = inspection;
    }

    static List<String> lines(Inspection inspection) {
        InspectionText text = new InspectionText(inspection);
        text.addModules();
        if (!inspection.trainable().isEmpty()) {
            text.addTrainable();
        }
        if (!inspection.suggestions().isEmpty()) {
            text.addSuggestions();
        }
        return text.lines;
    }

    private void addModules() {
        lines.add(inspection.tree().modelType() + ", " + Quantities.count(inspection.parameters()) + " parameters");
        TextTable table = new TextTable("  ", false, true, false, true);
        for (Kind kind : Kind.values()) {
            List<LinearModule> ofKind = inspection.modules().stream()
                    .filter(module -> module.kind() == kind)
                    .toList();
            if (!ofKind.isEmpty()) {
                addKind(table, kind, ofKind);
            }
        }
        lines.addAll(table.lines());
    }

    private void addKind(TextTable table, Kind kind, List<LinearModule> ofKind) {
        String tied = kind == Kind.HEAD && inspection.tree().tiedHead() ? ", tied to the embedding" : "";
        table.heading("");
        table.heading(kind.name().toLowerCase(Locale.ROOT) + ": " + modules(ofKind.size()) + tied);
        NamePattern.of(ofKind, Place::of, LinearModule::name, Shape::of).forEach(pattern -> {
            LinearModule first = pattern.members().getFirst();
            long count = pattern.members().size();
            table.row(
                    pattern.text(),
                    String.valueOf(count),
                    Shape.of(first).toString(),
                    Quantities.count(count * first.out() * first.in()));
        });
    }

    private void addTrainable() {
        Trainable trainable = inspection.trainable();
        lines.add("");
        lines.add("would be trained: " + what(trainable) + ", " + Quantities.count(trainable.parameters())
                + " parameters, " + Quantities.percent(inspection.share(trainable.parameters())) + " of the model");
        TextTable table = new TextTable("  ", false, true, false, false, true);
        NamePattern.of(
                        trainable.modules(),
                        target -> Place.of(target.module()),
                        Trainable.LowRank::name,
                        target -> new Settings(target.r(), target.alpha(), target.extra(), Shape.of(target.module())))
                .forEach(pattern -> {
                    Trainable.LowRank first = pattern.members().getFirst();
                    table.row(
                            pattern.text(),
                            String.valueOf(pattern.members().size()),
                            "r " + first.r(),
                            "alpha " + plain(first.alpha()) + (first.extra().isEmpty() ? "" : ", " + first.extra()),
                            Quantities.count(trainable.parameters(pattern.members())));
                });
        NamePattern.of(
                        trainable.full(),
                        tensor -> Place.of(tensor.name()),
                        Trainable.Full::name,
                        tensor -> new Shape(tensor.shape()))
                .forEach(pattern -> {
                    Trainable.Full first = pattern.members().getFirst();
                    int count = pattern.members().size();
                    table.row(
                            pattern.text(),
                            String.valueOf(count),
                            "in full",
                            new Shape(first.shape()).toString(),
                            Quantities.count(count * first.parameters()));
                });
        trainable
                .rows()
                .forEach(rows -> table.row(
                        rows.module() + ".weight",
                        String.valueOf(rows.indices().size()),
                        "rows",
                        "x " + List.of(rows.width()),
                        Quantities.count(rows.parameters())));
        lines.addAll(table.lines());
        if (trainable.shared()) {
            lines.add("  the experts of a layer share one update for each projection; the file repeats it for each");
        }
        lines.add("");
        lines.add("adapter file " + Quantities.bytes(trainable.adapterBytes()) + "; in training also "
                + Quantities.bytes(trainable.gradientBytes()) + " of gradients and "
                + Quantities.bytes(trainable.optimizerBytes()) + " of optimizer state");
    }

    private static String what(Trainable trainable) {
        List<String> parts = new ArrayList<>();
        if (!trainable.modules().isEmpty()) {
            parts.add(modules(trainable.modules().size()));
        }
        if (!trainable.full().isEmpty()) {
            int count = trainable.full().size();
            parts.add(count + (count == 1 ? " tensor" : " tensors") + " in full");
        }
        int rows = trainable.rows().stream()
                .mapToInt(each -> each.indices().size())
                .sum();
        if (rows > 0) {
            parts.add(rows + (rows == 1 ? " row" : " rows") + " of embeddings");
        }
        return String.join(", ", parts);
    }

    private void addSuggestions() {
        int r = inspection.suggestions().getFirst().r();
        lines.add("");
        lines.add("What to write into target_modules, and what it costs at r " + r + ":");
        lines.add("");
        TextTable costs = new TextTable("  ", false, true, true, true, true, true);
        costs.row("", "parameters", "share", "file", "gradients", "optimizer");
        for (Suggestion suggestion : inspection.suggestions()) {
            Trainable trained = suggestion.trainable();
            costs.row(
                    suggestion.name(),
                    Quantities.count(trained.parameters()),
                    Quantities.percent(inspection.share(trained.parameters())),
                    Quantities.bytes(trained.adapterBytes()),
                    Quantities.bytes(trained.gradientBytes()),
                    Quantities.bytes(trained.optimizerBytes()));
        }
        lines.addAll(costs.lines());
        lines.add("");
        addRanks();
        lines.add("");
        lines.add("To copy, as flags or into the YAML file of a run:");
        for (Suggestion suggestion : inspection.suggestions()) {
            lines.add("");
            String meaning = String.join(", ", suggestion.meaning());
            lines.add("  " + suggestion.name() + " (" + meaning + ")");
            lines.add("    " + suggestion.flags());
            lines.add("    " + suggestion.yaml());
        }
        lines.add("");
        boolean routers = inspection.modules().stream().anyMatch(module -> module.kind() == Kind.ROUTER);
        lines.add("In the YAML file with r: " + r + " and lora_alpha: "
                + inspection.suggestions().getFirst().alpha() + "."
                + (routers ? " Routers stay frozen unless they are named." : ""));
    }

    /** The file's size for the usual ranks. */
    private void addRanks() {
        int usual = Suggestion.rank(inspection.parameters());
        lines.add(
                "File by rank. A rule of thumb takes 8 for models of 7B, 16 for 13B, 64 for 70B: here " + usual + ".");
        lines.add("");
        TextTable table = new TextTable("  ", false, true, true, true);
        List<String> head = new ArrayList<>(List.of(""));
        Suggestion.usualRanks().forEach(r -> head.add("r " + r));
        table.row(head.toArray(String[]::new));
        for (Suggestion suggestion : inspection.suggestions()) {
            List<String> row = new ArrayList<>(List.of(suggestion.name()));
            for (int r : Suggestion.usualRanks()) {
                row.add(Quantities.bytes(
                        suggestion.withRank(r, inspection.tree()).trainable().adapterBytes()));
            }
            table.row(row.toArray(String[]::new));
        }
        lines.addAll(table.lines());
    }

    private static String modules(int count) {
        return Quantities.count(count) + (count == 1 ? " module" : " modules");
    }

    private static String plain(double alpha) {
        return alpha == Math.rint(alpha) ? String.valueOf((long) alpha) : String.valueOf(alpha);
    }
}
