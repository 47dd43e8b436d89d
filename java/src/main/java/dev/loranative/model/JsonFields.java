package dev.loranative.model;

import dev.loranative.errors.UserException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import tools.jackson.databind.JsonNode;

/**
 * The typed values of a JSON object. A key that is null counts as absent, as it does for transformers; a value of
 * another type is an error that names key and value.
 *
 * @param place what to put before a key in messages: empty, or the path of the object with a dot
 */
record JsonFields(JsonNode object, String place) {

    /** Whether the key is there, be it with the value null. */
    boolean mentions(String key) {
        return object.has(key);
    }

    boolean has(String key) {
        return object.hasNonNull(key);
    }

    JsonNode node(String key) {
        return object.get(key);
    }

    OptionalInt integer(String key) {
        if (!has(key)) {
            return OptionalInt.empty();
        }
        JsonNode value = object.get(key);
        if (!value.isIntegralNumber() || !value.canConvertToInt()) {
            throw wrong(key, "a whole number below 2^31");
        }
        return OptionalInt.of(value.intValue());
    }

    int integer(String key, int absent) {
        return integer(key).orElse(absent);
    }

    OptionalDouble number(String key) {
        if (!has(key)) {
            return OptionalDouble.empty();
        }
        if (!object.get(key).isNumber()) {
            throw wrong(key, "a number");
        }
        return OptionalDouble.of(object.get(key).doubleValue());
    }

    double number(String key, double absent) {
        return number(key).orElse(absent);
    }

    boolean flag(String key, boolean absent) {
        if (!has(key)) {
            return absent;
        }
        if (!object.get(key).isBoolean()) {
            throw wrong(key, "true or false");
        }
        return object.get(key).booleanValue();
    }

    Optional<String> text(String key) {
        if (!has(key)) {
            return Optional.empty();
        }
        if (!object.get(key).isString()) {
            throw wrong(key, "a string");
        }
        return Optional.of(object.get(key).stringValue());
    }

    /** Empty if the key is absent. */
    Optional<List<String>> texts(String key) {
        return list(key)
                .map(values -> values.stream()
                        .map(value -> {
                            if (!value.isString()) {
                                throw wrong(key, "a list of strings");
                            }
                            return value.stringValue();
                        })
                        .toList());
    }

    List<Integer> integers(String key) {
        return list(key).orElse(List.of()).stream()
                .map(value -> {
                    if (!value.isIntegralNumber() || !value.canConvertToInt()) {
                        throw wrong(key, "a list of whole numbers");
                    }
                    return value.intValue();
                })
                .toList();
    }

    private Optional<List<JsonNode>> list(String key) {
        if (!has(key)) {
            return Optional.empty();
        }
        if (!object.get(key).isArray()) {
            throw wrong(key, "a list");
        }
        List<JsonNode> values = new ArrayList<>();
        object.get(key).forEach(values::add);
        return Optional.of(values);
    }

    /** Empty if the key is absent. */
    Optional<JsonFields> object(String key) {
        if (!has(key)) {
            return Optional.empty();
        }
        if (!object.get(key).isObject()) {
            throw wrong(key, "an object");
        }
        return Optional.of(new JsonFields(object.get(key), place + key + "."));
    }

    private UserException wrong(String key, String wanted) {
        return ModelConfig.wrong(place + key + " is " + object.get(key) + ", expected " + wanted);
    }
}
