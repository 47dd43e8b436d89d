package dev.loranative.cli;

import dev.loranative.model.LinearModule;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * Names that differ only in the numbers of layer and expert, written as one:
 * {@code model.layers.{0-3}.mlp.experts.{0-7}.up_proj}.
 */
record NamePattern<T>(String text, List<T> members) {

    private static final String LAYER = "{layer}";
    private static final String EXPERT = "{expert}";

    /** What the members of a group have in common. */
    private record Shared(String template, Object alike) {}

    /**
     * Groups in the order of their first members.
     *
     * @param alike what members of one group must agree in besides their names, such as shape or rank
     */
    static <T> List<NamePattern<T>> of(
            Collection<T> items,
            Function<T, LinearModule> module,
            Function<T, String> name,
            Function<T, Object> alike) {
        Map<Shared, List<T>> groups = new LinkedHashMap<>();
        for (T item : items) {
            String template = template(name.apply(item), module.apply(item));
            groups.computeIfAbsent(new Shared(template, alike.apply(item)), _ -> new ArrayList<>())
                    .add(item);
        }
        List<NamePattern<T>> patterns = new ArrayList<>();
        groups.forEach((shared, members) -> patterns.addAll(split(shared.template(), members, module)));
        return patterns;
    }

    /** Layers that hold the same experts become one pattern; others would promise names that are not there. */
    private static <T> List<NamePattern<T>> split(String template, List<T> members, Function<T, LinearModule> module) {
        Map<Integer, TreeSet<Integer>> expertsOfLayer = new TreeMap<>();
        for (T member : members) {
            LinearModule place = module.apply(member);
            expertsOfLayer.computeIfAbsent(place.layer(), _ -> new TreeSet<>()).add(place.expert());
        }
        Map<TreeSet<Integer>, TreeSet<Integer>> layersOfExperts = new LinkedHashMap<>();
        expertsOfLayer.forEach((layer, experts) ->
                layersOfExperts.computeIfAbsent(experts, _ -> new TreeSet<>()).add(layer));
        List<NamePattern<T>> patterns = new ArrayList<>();
        layersOfExperts.forEach((experts, layers) -> patterns.add(new NamePattern<>(
                template.replace(LAYER, ranges(layers)).replace(EXPERT, ranges(experts)),
                members.stream()
                        .filter(member -> layers.contains(module.apply(member).layer()))
                        .toList())));
        return patterns;
    }

    /** The name with words for the numbers of its layer and its expert. */
    private static String template(String name, LinearModule module) {
        String[] parts = name.split("\\.");
        int part = 0;
        if (module.layer() >= 0) {
            part = replace(parts, part, String.valueOf(module.layer()), LAYER);
        }
        if (module.expert() >= 0) {
            replace(parts, part, String.valueOf(module.expert()), EXPERT);
        }
        return String.join(".", parts);
    }

    private static int replace(String[] parts, int from, String number, String word) {
        for (int i = from; i < parts.length; i++) {
            if (parts[i].equals(number)) {
                parts[i] = word;
                return i + 1;
            }
        }
        return from;
    }

    /** {@code 3}, {@code {0-3}}, {@code {0,2,5-7}}. */
    static String ranges(TreeSet<Integer> numbers) {
        if (numbers.size() == 1) {
            return String.valueOf(numbers.first());
        }
        List<String> ranges = new ArrayList<>();
        int start = numbers.first();
        int end = start;
        for (int number : numbers.tailSet(start, false)) {
            if (number > end + 1) {
                ranges.add(range(start, end));
                start = number;
            }
            end = number;
        }
        ranges.add(range(start, end));
        return "{" + String.join(",", ranges) + "}";
    }

    private static String range(int start, int end) {
        if (start == end) {
            return String.valueOf(start);
        }
        return end == start + 1 ? start + "," + end : start + "-" + end;
    }
}
