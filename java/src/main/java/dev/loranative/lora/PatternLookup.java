package dev.loranative.lora;

import dev.loranative.model.LinearModule;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * {@code rank_pattern} or {@code alpha_pattern}: the first expression that matches the end of a name, from a dot or the
 * start, gives the value. A module answers to its names and to those of its weight.
 */
final class PatternLookup<T> {

    private final Map<String, PythonRegex> expressions = new LinkedHashMap<>();
    private final Map<String, T> values;
    private final Set<String> used = new LinkedHashSet<>();

    PatternLookup(Map<String, T> values, String setting) {
        this.values = values;
        values.keySet().forEach(text -> expressions.put(text, PythonRegex.inside("(?:.*\\.)?(?:", text, ")", setting)));
    }

    Optional<T> find(LinearModule module) {
        List<String> names = new ArrayList<>();
        for (String name : NameRule.names(module)) {
            names.add(name);
            names.add(name + ".weight");
        }
        return find(names);
    }

    Optional<T> find(List<String> names) {
        for (Map.Entry<String, PythonRegex> entry : expressions.entrySet()) {
            if (names.stream().anyMatch(entry.getValue()::matchesWhole)) {
                used.add(entry.getKey());
                return Optional.of(values.get(entry.getKey()));
            }
        }
        return Optional.empty();
    }

    /** Expressions that no name has asked for yet. */
    List<String> unused() {
        return values.keySet().stream().filter(text -> !used.contains(text)).toList();
    }
}
