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
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Names that differ only in the numbers of layer and expert, written as one:
 * {@code model.layers.{0-3}.mlp.experts.{0-7}.up_proj}.
 */
record NamePattern<T>(String text, List<T> members) {

    private static final String LAYER = "{layer}";
    private static final String EXPERT = "{expert}";

    private static final Pattern LAYER_IN_NAME = Pattern.compile("(?:^|.*?\\.)layers\\.(\\d+)\\..*");

    /**
     * Where a name stands.
     *
     * @param layer -1 outside the layers
     * @param expert -1 for what belongs to none
     */
    record Place(int layer, int expert) {

        static Place of(LinearModule module) {
            return new Place(module.layer(), module.expert());
        }

        /** Of a tensor that belongs to no expert. */
        static Place of(String name) {
            Matcher matcher = LAYER_IN_NAME.matcher(name);
            return new Place(matcher.matches() ? Integer.parseInt(matcher.group(1)) : -1, -1);
        }
    }

    /** What the members of a group have in common. */
    private record Shared(String template, Object alike) {}

    /**
     * Groups in the order of their first members.
     *
     * @param alike what members of one group must agree in besides their names, such as shape or rank
     */
    static <T> List<NamePattern<T>> of(
            Collection<T> items, Function<T, Place> place, Function<T, String> name, Function<T, Object> alike) {
        Map<Shared, List<T>> groups = new LinkedHashMap<>();
        for (T item : items) {
            String template = template(name.apply(item), place.apply(item));
            groups.computeIfAbsent(new Shared(template, alike.apply(item)), _ -> new ArrayList<>())
                    .add(item);
        }
        List<NamePattern<T>> patterns = new ArrayList<>();
        groups.forEach((shared, members) -> patterns.addAll(split(shared.template(), members, place)));
        return patterns;
    }

    /** Layers that hold the same experts become one pattern; others would promise names that are not there. */
    private static <T> List<NamePattern<T>> split(String template, List<T> members, Function<T, Place> place) {
        Map<Integer, TreeSet<Integer>> expertsOfLayer = new TreeMap<>();
        for (T member : members) {
            Place own = place.apply(member);
            expertsOfLayer.computeIfAbsent(own.layer(), _ -> new TreeSet<>()).add(own.expert());
        }
        Map<TreeSet<Integer>, TreeSet<Integer>> layersOfExperts = new LinkedHashMap<>();
        expertsOfLayer.forEach((layer, experts) ->
                layersOfExperts.computeIfAbsent(experts, _ -> new TreeSet<>()).add(layer));
        List<NamePattern<T>> patterns = new ArrayList<>();
        layersOfExperts.forEach((experts, layers) -> patterns.add(new NamePattern<>(
                template.replace(LAYER, ranges(layers)).replace(EXPERT, ranges(experts)),
                members.stream()
                        .filter(member -> layers.contains(place.apply(member).layer()))
                        .toList())));
        return patterns;
    }

    /** The name with words for the numbers of its layer and its expert. */
    private static String template(String name, Place place) {
        String[] parts = name.split("\\.");
        int part = 0;
        if (place.layer() >= 0) {
            part = replace(parts, part, String.valueOf(place.layer()), LAYER);
        }
        if (place.expert() >= 0) {
            replace(parts, part, String.valueOf(place.expert()), EXPERT);
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
