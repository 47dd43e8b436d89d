package dev.loranative.lora;

import dev.loranative.config.Lists;
import dev.loranative.config.ModuleNames;
import dev.loranative.config.Nearest;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** The errors about names that no module has, each with what was probably meant. */
final class Complaints {

    private static final int SUGGESTIONS = 3;
    private static final int NAMED = 6;

    private final List<LinearModule> modules;

    Complaints(List<LinearModule> modules) {
        this.modules = modules;
    }

    UserException nothingNamed(NameRule rule) {
        String text = rule.text();
        String problem = "target_modules: '" + text + "' matches none of the " + modules.size() + " linear modules";
        if (rule instanceof NameRule.Expression) {
            return UserException.badInput(problem + " of this model", expressionHint(text));
        }
        boolean router = text.equals("router") || text.equals("gate") || text.endsWith(".gate");
        if (router && modules.stream().noneMatch(module -> module.kind() == Kind.ROUTER)) {
            return UserException.badInput(
                    problem + ": the model has no routers",
                    "routers are in mixtures of experts; gate_proj is a projection of the MLP; `inspect` lists all");
        }
        if (rule instanceof NameRule.Group) {
            return UserException.badInput(
                    problem + ": the model has none of that kind", "`inspect` lists the modules by kind");
        }
        if (text.endsWith("gate_up_proj")) {
            return UserException.badInput(
                    problem + ": gate_up_proj is what transformers makes of gate_proj and up_proj in memory",
                    "name the projections as in the checkpoint: [gate_proj, up_proj]");
        }
        if (text.endsWith("norm")) {
            return UserException.badInput(
                    problem + ": a norm has no low rank", "train norms in full: modules_to_save: [" + text + "]");
        }
        if (text.equalsIgnoreCase(ModuleNames.ALL_LINEAR)) {
            return UserException.badInput(
                    problem + ": it is known as a single text only, not in a list",
                    "write target_modules: all-linear, or [attention, mlp, experts, router]");
        }
        Set<String> inside = inside(text);
        if (!inside.isEmpty()) {
            return UserException.badInput(
                    problem + ": it is a container", "name the linear modules in it: " + list(inside));
        }
        return UserException.badInput(
                problem + " of this model", "did you mean " + nearest(text) + "? `inspect` lists them all");
    }

    private String expressionHint(String text) {
        if (!Lists.isRegex(text)) {
            String names = text.replaceAll("\\s*,\\s*", ", ");
            return "a text must match the whole name: write a list, [" + names + "], or '.*"
                    + nearestNames(text).getFirst() + "'";
        }
        return "the expression must match the whole name, for example "
                + modules.get(modules.size() / 2).name();
    }

    UserException noParameter(String text) {
        String problem =
                "target_parameters: '" + text + "' matches no weight of the " + modules.size() + " linear modules";
        boolean router = text.endsWith("gate.weight") || text.endsWith("router.weight");
        if (router && modules.stream().noneMatch(module -> module.kind() == Kind.ROUTER)) {
            return UserException.badInput(
                    problem + ": the model has no routers", "routers are in mixtures of experts; leave it out");
        }
        Set<String> known = new LinkedHashSet<>();
        for (LinearModule module : modules) {
            NameRule.names(module).forEach(name -> addEnds(known, name, text.contains(".")));
        }
        return UserException.badInput(
                problem,
                "did you mean "
                        + list(nearestNames(text.replaceFirst("\\.weight$", ""), known).stream()
                                .map(name -> name + ".weight")
                                .toList())
                        + "?");
    }

    /** The names most like this one, for a message. */
    String nearest(String text) {
        return list(nearestNames(text));
    }

    /** Of the known names those most like this one, for a message. */
    static String nearest(String text, Set<String> known) {
        return list(nearestNames(text, known));
    }

    private List<String> nearestNames(String text) {
        Set<String> known = new LinkedHashSet<>(ModuleNames.GROUPS);
        for (LinearModule module : modules) {
            NameRule.names(module).forEach(name -> addEnds(known, name, text.contains(".")));
        }
        return nearestNames(text, known);
    }

    private static List<String> nearestNames(String text, Set<String> known) {
        String wanted = text.substring(text.lastIndexOf('.', text.length() - 2) + 1);
        return Nearest.to(text.contains(".") ? text : wanted, known, SUGGESTIONS);
    }

    /** Adds the last word of a name, and its last two. */
    static void addEnds(Set<String> ends, String name, boolean two) {
        int last = name.lastIndexOf('.');
        ends.add(name.substring(last + 1));
        if (two && last > 0) {
            ends.add(name.substring(name.lastIndexOf('.', last - 1) + 1));
        }
    }

    /** Ends of the names of modules inside the container that the text names. */
    private Set<String> inside(String text) {
        String middle = "." + text + ".";
        return modules.stream()
                .flatMap(module -> NameRule.names(module).stream())
                .filter(name -> ("." + name).contains(middle))
                .map(name -> name.substring(name.lastIndexOf('.') + 1))
                .limit(10_000)
                .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    /** As {@link #list}, but of many only the first. */
    static String some(List<?> items) {
        return items.size() <= NAMED
                ? list(items)
                : list(items.subList(0, NAMED)) + " and " + (items.size() - NAMED) + " more";
    }

    static String list(Collection<?> items) {
        return items.stream().map(String::valueOf).collect(Collectors.joining(", "));
    }
}
