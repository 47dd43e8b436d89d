package dev.loranative.lora;

import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * Warnings about entries of {@code target_modules} that name more, or less, than they seem to: PEFT passes over all of these.
 */
final class PartialMatches {

    private static final String SHARED = ".shared_expert.";

    private final List<LinearModule> modules;
    private final LayerFilter layers;
    private final List<String> warnings = new ArrayList<>();

    PartialMatches(List<LinearModule> modules, LayerFilter layers) {
        this.modules = modules;
        this.layers = layers;
    }

    List<String> warnings() {
        return warnings;
    }

    /** @param named never empty */
    void look(NameRule rule, List<LinearModule> named) {
        switch (rule) {
            case NameRule.Suffix suffix -> {
                lookAtKinds(suffix.text(), named);
                lookAtLayers(suffix.text(), named);
            }
            case NameRule.Group group -> lookAtLayers(group.text(), named);
            case NameRule.Expression _ -> lookAtTables(named);
            case NameRule.Weight _ -> {}
        }
    }

    /** Whether {@code mlp}, or names of MLPs, left the experts of the other layers out unnoticed. */
    void lookAtExperts(List<NameRule> rules, Collection<LinearModule> chosen) {
        boolean some = chosen.stream().anyMatch(module -> module.kind() == Kind.EXPERT);
        Set<Integer> sparse =
                layersOf(modules, module -> module.kind() == Kind.EXPERT && layers.accepts(module.name()));
        if (some || sparse.isEmpty()) {
            return;
        }
        for (NameRule rule : rules) {
            boolean group = rule instanceof NameRule.Group && rule.text().equals("mlp");
            boolean name = rule instanceof NameRule.Suffix && rule.text().matches("(.*\\.)?mlp\\.(gate|up|down)_proj");
            if (group || name) {
                warnings.add(entry(rule.text()) + " names no experts, which " + count(sparse)
                        + " have instead of, or beside," + " a plain MLP: they stay frozen; add experts to train them");
            }
        }
    }

    private void lookAtKinds(String text, List<LinearModule> named) {
        long experts = count(named, module -> module.kind() == Kind.EXPERT);
        long shared = count(named, module -> module.name().contains(SHARED));
        long plain = count(named, module -> module.kind() == Kind.MLP) - shared;
        if (experts > 0 && shared > 0) {
            warnings.add(entry(text) + " names " + experts + " projections of routed experts and " + shared
                    + " of shared experts; for the shared ones alone write shared_expert." + leaf(text)
                    + ", for the routed ones alone exclude that");
        }
        if (experts > 0 && plain > 0) {
            warnings.add(entry(text) + " names " + experts + " projections of experts and " + plain + " of plain MLPs ("
                    + count(layersOf(named, module -> module.kind() == Kind.MLP)) + "); for the MLPs alone write mlp."
                    + leaf(text) + ", for the experts alone exclude that");
        }
        Set<Integer> expertNumbers = named.stream()
                .filter(module -> module.expert() >= 0)
                .map(LinearModule::expert)
                .collect(Collectors.toSet());
        if (text.matches("\\d+\\..*") && expertNumbers.size() == 1) {
            warnings.add(
                    entry(text) + " names expert " + expertNumbers.iterator().next() + " of "
                            + count(layersOf(named, _ -> true)) + ": behind the layer's number comes mlp");
        }
    }

    /** Layers that were asked for and have no such module. */
    private void lookAtLayers(String text, List<LinearModule> named) {
        Set<Integer> missing = new TreeSet<>(layers.numbers());
        missing.removeAll(layersOf(named, _ -> true));
        // A name with a number in it stands for one layer, or one expert, anyway.
        if (!missing.isEmpty() && text.chars().noneMatch(Character::isDigit) && !isOutsideLayers(named)) {
            warnings.add(entry(text) + " names nothing in " + count(missing));
        }
    }

    private static boolean isOutsideLayers(List<LinearModule> named) {
        return named.stream().allMatch(module -> module.layer() < 0);
    }

    private void lookAtTables(List<LinearModule> named) {
        List<String> tables = named.stream()
                .filter(module -> module.kind() == Kind.EMBEDDING || module.kind() == Kind.HEAD)
                .map(LinearModule::name)
                .toList();
        if (!tables.isEmpty() && tables.size() < named.size()) {
            warnings.add("target_modules: the expression also names " + Complaints.list(tables) + "; exclude_modules: ["
                    + Complaints.list(tables) + "] leaves them out");
        }
    }

    private static String entry(String text) {
        return "target_modules: '" + text + "'";
    }

    private static String leaf(String text) {
        return text.substring(text.lastIndexOf('.') + 1);
    }

    private static long count(List<LinearModule> named, Predicate<LinearModule> which) {
        return named.stream().filter(which).count();
    }

    private static Set<Integer> layersOf(List<LinearModule> named, Predicate<LinearModule> which) {
        return named.stream()
                .filter(which)
                .map(LinearModule::layer)
                .filter(layer -> layer >= 0)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** {@code layer 3}, {@code layers 0, 2}, {@code 48 layers}. */
    private static String count(Set<Integer> numbers) {
        if (numbers.size() > 6) {
            return numbers.size() + " layers";
        }
        return (numbers.size() == 1 ? "layer " : "layers ") + Complaints.list(numbers);
    }
}
