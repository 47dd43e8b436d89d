package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import java.util.List;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** {@code layers_to_transform} and {@code layers_pattern}: which layer a name belongs to, as PEFT 0.21 finds it. */
final class LayerFilter {

    /** The first number that has two names before it and a dot behind it. */
    private static final Pattern FIRST_NUMBER = Pattern.compile(".*?\\.[^.]*\\.(\\d+)\\.");

    private final List<Integer> layers;
    private final List<Pattern> patterns;

    private LayerFilter(List<Integer> layers, List<Pattern> patterns) {
        this.layers = layers;
        this.patterns = patterns;
    }

    static LayerFilter of(LoraConfig config) {
        List<Pattern> patterns = config.layersPattern().stream()
                .map(name -> PythonRegex.java("(?:^|.*?\\.)" + name + "\\.(\\d+)\\.", "layers_pattern"))
                .toList();
        return new LayerFilter(config.layersToTransform(), patterns.isEmpty() ? List.of(FIRST_NUMBER) : patterns);
    }

    /** Every layer. */
    static LayerFilter none() {
        return new LayerFilter(List.of(), List.of());
    }

    boolean accepts(String name) {
        if (layers.isEmpty()) {
            return true;
        }
        OptionalInt layer = layer(name);
        return layer.isPresent() && layers.contains(layer.getAsInt());
    }

    OptionalInt layer(String name) {
        for (Pattern pattern : patterns) {
            Matcher matcher = pattern.matcher(name);
            if (matcher.lookingAt()) {
                return OptionalInt.of(Integer.parseInt(matcher.group(matcher.groupCount())));
            }
        }
        return OptionalInt.empty();
    }
}
