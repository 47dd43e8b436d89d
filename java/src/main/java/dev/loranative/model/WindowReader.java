package dev.loranative.model;

import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/** Reads which layers of a model look through a sliding window; what counts differs between the families. */
record WindowReader(JsonFields config, Family family, int layers) {

    private static final String SLIDING = "sliding_attention";

    /** For every layer the number of keys a query sees, 0 for all before it. */
    List<Integer> read() {
        return switch (family.window()) {
            case NEVER -> everywhere(0);
            case ALL -> everywhere(size().orElse(0));
            case ALL_IF_USED -> everywhere(isUsed() ? size().orElse(0) : 0);
            case UPPER_LAYERS -> byLayer(layer -> isUsed() && size().isPresent() && layer >= maxWindowLayers());
            case ALTERNATING_LAYERS -> byLayer(layer -> isUsed() && layer % 2 == 0 && layer < maxWindowLayers());
        };
    }

    private List<Integer> everywhere(int size) {
        return IntStream.range(0, layers).mapToObj(layer -> size).toList();
    }

    /** @param sliding what holds for a layer when {@code layer_types} does not say it */
    private List<Integer> byLayer(IntPredicate sliding) {
        Optional<List<String>> types = config.texts("layer_types");
        types.ifPresent(this::checkTypes);
        return IntStream.range(0, layers)
                .mapToObj(layer -> {
                    boolean slides =
                            types.map(list -> list.get(layer).equals(SLIDING)).orElseGet(() -> sliding.test(layer));
                    return slides ? sizeOf(layer) : 0;
                })
                .toList();
    }

    private void checkTypes(List<String> types) {
        if (types.size() != layers) {
            throw ModelConfig.wrong("layer_types has " + types.size() + " entries for " + layers + " layers");
        }
        for (String type : types) {
            if (!type.equals(SLIDING) && !type.equals("full_attention")) {
                throw ModelConfig.wrong("layer_types has '" + type + "', expected full_attention or sliding_attention");
            }
        }
    }

    private int sizeOf(int layer) {
        OptionalInt size = isUsed() ? size() : OptionalInt.empty();
        return size.orElseThrow(() -> ModelConfig.wrong("layer " + layer
                + " has sliding attention, but use_sliding_window or sliding_window says that there is no window"));
    }

    /** Empty for none; an absent key has the family's default, null means none. */
    private OptionalInt size() {
        String key = "sliding_window";
        int absent = family.defaults().slidingWindow();
        if (!config.mentions(key)) {
            return absent == 0 ? OptionalInt.empty() : OptionalInt.of(absent);
        }
        OptionalInt size = config.integer(key);
        size.ifPresent(value -> ModelConfig.requirePositive(value, key));
        return size;
    }

    private boolean isUsed() {
        return config.flag("use_sliding_window", false);
    }

    private int maxWindowLayers() {
        return config.integer("max_window_layers", 28);
    }
}
