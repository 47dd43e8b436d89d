package dev.loranative.config;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * {@code layers_to_transform}: numbers of layers as in PEFT, and what PEFT lacks: numbers below 0, which count from the last
 * layer (-1), and {@code last:K} for the last K layers.
 */
final class LayerNumbers implements ValueType<List<Integer>> {

    static final LayerNumbers TYPE = new LayerNumbers();

    private static final Pattern LAST = Pattern.compile("last:\\s*([0-9]{1,6})");

    private final ValueType<Long> number = Scalars.integer(Integer.MIN_VALUE, Integer.MAX_VALUE);
    private final ValueType<List<String>> words = Lists.of(Scalars.text());

    private LayerNumbers() {}

    @Override
    public String label() {
        return "N,…|last:K";
    }

    @Override
    public List<Integer> read(Object raw) throws BadValue {
        Set<Integer> layers = new LinkedHashSet<>();
        for (Object part : raw instanceof List<?> list ? list : List.of(raw)) {
            layers.addAll(layers(part));
        }
        return new ArrayList<>(layers);
    }

    private List<Integer> layers(Object part) throws BadValue {
        if (part instanceof String text) {
            Matcher last = LAST.matcher(text.strip());
            if (last.matches()) {
                int count = Integer.parseInt(last.group(1));
                if (count > 0) {
                    return IntStream.rangeClosed(-count, -1).boxed().toList();
                }
            }
        }
        try {
            if (part != null) {
                return List.of(Math.toIntExact(number.read(part)));
            }
        } catch (BadValue e) {
            // The message below says what else is possible.
        }
        throw new BadValue("whole numbers of layers, -1 for the last one, or last:K with K of at least 1");
    }

    @Override
    public boolean collects() {
        return true;
    }

    @Override
    public List<Integer> readFlag(List<String> flags) throws BadValue {
        return read(words.readFlag(flags));
    }
}
