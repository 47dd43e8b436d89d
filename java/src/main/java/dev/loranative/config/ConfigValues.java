package dev.loranative.config;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/** The value of every key that a command knows, and where each was set. Immutable. */
public final class ConfigValues {

    /** Where a value comes from when nobody set it. */
    public static final String DEFAULT = "default";

    private record Value(Object value, String origin) {}

    private final Map<Key<?>, Value> values;

    private ConfigValues(Map<Key<?>, Value> values) {
        this.values = values;
    }

    static ConfigValues defaults(List<Key<?>> keys) {
        Map<Key<?>, Value> values = new LinkedHashMap<>();
        keys.forEach(key -> values.put(key, new Value(key.defaultValue(), DEFAULT)));
        return new ConfigValues(values);
    }

    /** The same values but for one. */
    public <T> ConfigValues with(Key<T> key, T value, String origin) {
        return withUntyped(key, value, origin);
    }

    ConfigValues withUntyped(Key<?> key, Object value, String origin) {
        requireKnown(key);
        Map<Key<?>, Value> copy = new LinkedHashMap<>(values);
        copy.put(key, new Value(value, origin));
        return new ConfigValues(copy);
    }

    /** The value; null only if the key allows it. */
    public <T> T get(Key<T> key) {
        requireKnown(key);
        @SuppressWarnings("unchecked") // put under its own key only
        T value = (T) values.get(key).value();
        return value;
    }

    /** The value; empty for null. */
    public OptionalInt optionalInt(Key<Integer> key) {
        Integer value = get(key);
        return value == null ? OptionalInt.empty() : OptionalInt.of(value);
    }

    /** {@code run.yaml:3}, {@code --lora-alpha} or {@link #DEFAULT}. */
    public String origin(Key<?> key) {
        requireKnown(key);
        return values.get(key).origin();
    }

    /** Whether the file or a flag gave the key. */
    public boolean isSet(Key<?> key) {
        return !origin(key).equals(DEFAULT);
    }

    /** In the order of the table of keys. */
    public List<Key<?>> keys() {
        return List.copyOf(values.keySet());
    }

    /** Name and value as a JSON or YAML writer takes it, in the order of the table of keys. */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        values.forEach((key, value) -> map.put(key.name(), key.write(value.value())));
        return map;
    }

    private void requireKnown(Key<?> key) {
        if (!values.containsKey(key)) {
            throw new IllegalArgumentException("this command has no key " + key.name());
        }
    }
}
