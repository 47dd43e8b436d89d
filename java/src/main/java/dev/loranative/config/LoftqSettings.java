package dev.loranative.config;

import java.util.Map;
import java.util.Set;

/**
 * PEFT's LoftQConfig, as far as an adapter can keep it: after more than one iteration the quantised base is another than
 * the one that everybody else gets from the same model.
 */
public record LoftqSettings() {

    static final LoftqSettings DEFAULT = new LoftqSettings();

    static final ValueType<LoftqSettings> TYPE = new ValueType<>() {

        private static final ValueType<Map<String, Object>> MAP = Lists.map(Scalars.anything());

        @Override
        public String label() {
            return "{loftq_bits: 4, loftq_iter: 1}";
        }

        @Override
        public LoftqSettings read(Object raw) throws BadValue {
            Map<String, Object> map = MAP.read(raw);
            if (!Set.of("loftq_bits", "loftq_iter").containsAll(map.keySet())) {
                throw new BadValue("a map of loftq_bits and loftq_iter");
            }
            if (!Integer.valueOf(4).equals(map.getOrDefault("loftq_bits", 4))) {
                throw new BadValue("a map whose loftq_bits is 4");
            }
            if (!Integer.valueOf(1).equals(map.getOrDefault("loftq_iter", 1))) {
                throw new BadValue(
                        "a map whose loftq_iter is 1: more iterations quantise another base, which the adapter"
                                + " would need wherever it is used");
            }
            return DEFAULT;
        }

        @Override
        public Object write(LoftqSettings value) {
            return Map.of();
        }
    };
}
