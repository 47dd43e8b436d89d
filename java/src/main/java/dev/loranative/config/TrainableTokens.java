package dev.loranative.config;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * PEFT's {@code trainable_token_indices}: rows of embeddings that are trained as they are.
 *
 * @param rows by the end of a module's name, the numbers of its rows; the key {@value #INPUT_EMBEDDING} stands for the
 *     input embedding whatever its name
 */
public record TrainableTokens(Map<String, List<Integer>> rows) {

    /** The key of a plain list of numbers. */
    public static final String INPUT_EMBEDDING = "";

    public static final TrainableTokens NONE = new TrainableTokens(Map.of());

    public TrainableTokens {
        Map<String, List<Integer>> copy = new LinkedHashMap<>();
        rows.forEach((name, numbers) -> copy.put(name, List.copyOf(numbers)));
        rows = Collections.unmodifiableMap(copy);
    }

    public boolean isEmpty() {
        return rows.isEmpty();
    }

    static final ValueType<TrainableTokens> TYPE = new ValueType<>() {

        private final ValueType<List<Integer>> numbers = Lists.of(Scalars.count(0));
        private final ValueType<Map<String, Object>> map = Lists.map(Scalars.anything());

        @Override
        public String label() {
            return "N,…|{NAME: [N,…]}";
        }

        @Override
        public TrainableTokens read(Object raw) throws BadValue {
            if (!(raw instanceof Map<?, ?>) && !(raw instanceof String text && text.startsWith("{"))) {
                return ofNumbers(numbers.read(raw));
            }
            Map<String, List<Integer>> rows = new LinkedHashMap<>();
            for (Map.Entry<String, Object> entry : map.read(raw).entrySet()) {
                rows.put(entry.getKey(), numbers.read(entry.getValue()));
            }
            return of(rows);
        }

        private TrainableTokens of(Map<String, List<Integer>> rows) throws BadValue {
            for (List<Integer> list : rows.values()) {
                if (list.isEmpty() || list.stream().distinct().count() != list.size()) {
                    throw new BadValue("numbers of tokens, each once");
                }
            }
            return new TrainableTokens(rows);
        }

        @Override
        public boolean collects() {
            return true;
        }

        @Override
        public TrainableTokens readFlag(List<String> words) throws BadValue {
            return words.size() == 1 && words.getFirst().startsWith("{")
                    ? read(words.getFirst())
                    : ofNumbers(numbers.readFlag(words));
        }

        private TrainableTokens ofNumbers(List<Integer> list) throws BadValue {
            return list.isEmpty() ? NONE : of(Map.of(INPUT_EMBEDDING, list));
        }

        @Override
        public Object write(TrainableTokens value) {
            return value.rows().keySet().equals(java.util.Set.of(INPUT_EMBEDDING))
                    ? value.rows().get(INPUT_EMBEDDING)
                    : value.rows();
        }
    };
}
