package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule;
import java.util.List;
import java.util.OptionalInt;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * {@code layers_to_transform} and {@code layers_pattern}: which layer a name belongs to, as PEFT 0.21 finds it.
 * Numbers below 0 count from the last layer, -1; PEFT has no such numbers.
 */
final class LayerFilter {

    /** The first number that has two names before it and a dot behind it. */
    private static final Pattern FIRST_NUMBER = Pattern.compile(".*?\\.[^.]*\\.(\\d+)\\.");

    private final List<Integer> layers;
    private final List<Pattern> patterns;

    private LayerFilter(List<Integer> layers, List<Pattern> patterns) {
        this.layers = layers;
        this.patterns = patterns;
    }

    /**
     * @param modules of the model, whose last layer negative numbers count from
     * @throws UserException for a layer that does not exist
     */
    static LayerFilter of(LoraConfig config, List<LinearModule> modules) {
        List<Pattern> patterns =
                config.layersPattern().stream().map(LayerFilter::numberBehind).toList();
        List<Pattern> used = patterns.isEmpty() ? List.of(FIRST_NUMBER) : patterns;
        return new LayerFilter(existing(config, new LayerFilter(List.of(), used), modules), used);
    }

    private static Pattern numberBehind(String name) {
        PythonRegex.java(name, "layers_pattern");
        return PythonRegex.java("(?:^|.*?\\.)" + name + "\\.(\\d+)\\.", "layers_pattern");
    }

    private static List<Integer> existing(LoraConfig config, LayerFilter every, List<LinearModule> modules) {
        if (config.layersToTransform().isEmpty()) {
            return List.of();
        }
        TreeSet<Integer> known = new TreeSet<>();
        modules.forEach(module ->
                NameRule.names(module).forEach(name -> every.layer(name).ifPresent(known::add)));
        if (known.isEmpty()) {
            throw UserException.badInput(
                    "layers_pattern " + config.layersPattern() + " finds no layers in the names of this model",
                    "leave layers_pattern out");
        }
        int count = known.last() + 1;
        List<Integer> unknown = config.layersToTransform().stream()
                .filter(layer -> !known.contains(layer < 0 ? layer + count : layer))
                .toList();
        if (!unknown.isEmpty()) {
            throw UserException.badInput(
                    "layers_to_transform: no layer " + Complaints.some(unknown) + "; the model has layers "
                            + known.first() + " to " + known.last(),
                    "count layers from 0, or from -1 for the last one down");
        }
        return config.layersToTransform().stream()
                .map(layer -> layer < 0 ? layer + count : layer)
                .toList();
    }

    /** Every layer. */
    static LayerFilter none() {
        return new LayerFilter(List.of(), List.of());
    }

    /** From 0; none for every layer. */
    List<Integer> numbers() {
        return layers;
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
