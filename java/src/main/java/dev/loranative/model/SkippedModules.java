package dev.loranative.model;

import dev.loranative.config.QuantizationOptions;
import dev.loranative.errors.UserException;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * Which modules are not quantised: embeddings, routers, the head unless it is asked for, and what the user names. A
 * pattern holds as in transformers: as a regular expression for the beginning of a module's name, or as its end.
 *
 * @param head whether the head is quantised
 */
record SkippedModules(List<Rule> rules, boolean head) {

    /** @param text the pattern as it was given */
    record Rule(String text, Pattern beginning) {

        boolean matches(String name) {
            return name.endsWith(text) || beginning.matcher(name).lookingAt();
        }

        boolean matches(LinearModule module) {
            return matches(module.name()) || module.aliases().stream().anyMatch(this::matches);
        }
    }

    /** @throws UserException for a pattern that is no regular expression, or that matches no module */
    static SkippedModules of(ModuleTree tree, QuantizationOptions options) {
        List<Rule> rules = new ArrayList<>();
        for (String text : options.skipModules()) {
            Rule rule = new Rule(text, compile(text));
            if (tree.modules().stream().noneMatch(rule::matches)) {
                throw UserException.badInput(
                        "bnb_4bit_skip_modules has '" + text + "', which matches no module",
                        "lora-native inspect --model DIR lists the names; a pattern is the beginning or the end of one");
            }
            rules.add(rule);
        }
        return new SkippedModules(List.copyOf(rules), options.head());
    }

    private static Pattern compile(String text) {
        try {
            return Pattern.compile(text);
        } catch (PatternSyntaxException e) {
            throw UserException.badInput(
                    "bnb_4bit_skip_modules has '" + text + "', which is no regular expression: " + e.getDescription(),
                    "write the beginning or the end of a module's name");
        }
    }

    boolean isQuantized(LinearModule module) {
        boolean kind = switch (module.kind()) {
            case ATTENTION, MLP, EXPERT -> true;
            case HEAD -> head;
            case ROUTER, EMBEDDING -> false;
        };
        return kind && rules.stream().noneMatch(rule -> rule.matches(module));
    }
}
