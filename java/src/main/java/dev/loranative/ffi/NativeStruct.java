package dev.loranative.ffi;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The layout of one argument struct of {@code lora_native.h}: fields in order, with natural C alignment. A test
 * compares every one with the header.
 *
 * @param name the struct's C name
 * @param fields offset and type by field name, in order
 * @param bytes size including the padding at the end
 */
public record NativeStruct(String name, Map<String, Field> fields, long bytes) {

    public record Field(Carrier carrier, long offset) {}

    /** From {@code "pointer x, int64 rows, ..."}. */
    static NativeStruct of(String name, String declaration) {
        Map<String, Field> fields = new LinkedHashMap<>();
        long offset = 0;
        long alignment = 1;
        for (String part : declaration.strip().split("\\s*,\\s*")) {
            String[] words = part.split("\\s+");
            Carrier carrier = Carrier.valueOf(words[0].toUpperCase(java.util.Locale.ROOT));
            offset = roundUp(offset, carrier.bytes());
            if (fields.put(words[1], new Field(carrier, offset)) != null) {
                throw new IllegalArgumentException(name + " declares " + words[1] + " twice");
            }
            offset += carrier.bytes();
            alignment = Math.max(alignment, carrier.bytes());
        }
        return new NativeStruct(name, java.util.Collections.unmodifiableMap(fields), roundUp(offset, alignment));
    }

    private static long roundUp(long value, long multiple) {
        return (value + multiple - 1) / multiple * multiple;
    }
}
