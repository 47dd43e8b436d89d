package dev.loranative.config;

import java.math.BigInteger;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalLong;
import java.util.function.DoublePredicate;

/** The types of single values. */
public final class Scalars {

    private Scalars() {}

    /** Any text that is not empty. */
    public static ValueType<String> text() {
        return type("TEXT", raw -> {
            if (raw instanceof String || raw instanceof Number || raw instanceof Boolean) {
                String text = raw.toString();
                if (!text.isBlank()) {
                    return text;
                }
            }
            throw new BadValue("a text that is not empty");
        });
    }

    /** A file or folder; relative ones are relative to the current directory. */
    public static ValueType<Path> path() {
        return new ValueType<>() {
            @Override
            public String label() {
                return "PATH";
            }

            @Override
            public Path read(Object raw) throws BadValue {
                if (raw instanceof String text && !text.isBlank()) {
                    try {
                        return Path.of(text);
                    } catch (InvalidPathException e) {
                        throw new BadValue(
                                "a path that this system and locale can have (for characters beyond ASCII set LC_ALL=C.UTF-8)");
                    }
                }
                throw new BadValue("a path");
            }

            @Override
            public Object write(Path value) {
                return value.toString();
            }
        };
    }

    /** true or false; the command line also takes the flag alone, and {@code --no-…}. */
    public static ValueType<Boolean> bool() {
        return type("[true|false]", raw -> switch (raw) {
            case Boolean value -> value;
            case String text ->
                switch (text.toLowerCase(Locale.ROOT)) {
                    case "true", "yes", "on" -> true;
                    case "false", "no", "off" -> false;
                    default -> throw new BadValue("true or false");
                };
            default -> throw new BadValue("true or false");
        });
    }

    /** A whole number in [minimum, maximum]. */
    public static ValueType<Long> integer(long minimum, long maximum) {
        return type("N", raw -> {
            OptionalLong value = wholeNumber(raw);
            if (value.isEmpty() || value.getAsLong() < minimum || value.getAsLong() > maximum) {
                throw new BadValue(
                        maximum >= Integer.MAX_VALUE
                                ? "a whole number of at least " + minimum
                                : "a whole number from " + minimum + " to " + maximum);
            }
            return value.getAsLong();
        });
    }

    /** A whole number of at least {@code minimum} that fits 31 bits. */
    public static ValueType<Integer> count(int minimum) {
        ValueType<Long> wide = integer(minimum, Integer.MAX_VALUE);
        return type("N", raw -> Math.toIntExact(wide.read(raw)));
    }

    /** A finite number for which the test holds; the expectation says the test in words. */
    public static ValueType<Double> number(String expectation, DoublePredicate test) {
        return type("NUMBER", raw -> {
            double value = floating(raw);
            if (!Double.isFinite(value) || !test.test(value)) {
                throw new BadValue(expectation);
            }
            return value;
        });
    }

    /** One of the names; read without regard to case. */
    public static ValueType<String> choice(String... names) {
        return type(String.join("|", names), raw -> {
            for (String name : names) {
                if (name.equalsIgnoreCase(raw.toString())) {
                    return name;
                }
            }
            throw new BadValue("one of " + String.join(", ", names));
        });
    }

    /** One of an enum's constants, written in lower case. */
    public static <E extends Enum<E>> ValueType<E> choice(Class<E> constants) {
        String[] names = Arrays.stream(constants.getEnumConstants())
                .map(constant -> constant.name().toLowerCase(Locale.ROOT))
                .toArray(String[]::new);
        ValueType<String> texts = choice(names);
        return new ValueType<>() {
            @Override
            public String label() {
                return texts.label();
            }

            @Override
            public E read(Object raw) throws BadValue {
                return Enum.valueOf(constants, texts.read(raw).toUpperCase(Locale.ROOT));
            }

            @Override
            public Object write(E value) {
                return value.name().toLowerCase(Locale.ROOT);
            }
        };
    }

    private static final Map<String, Long> BYTE_UNITS = Map.ofEntries(
            Map.entry("", 1L),
            Map.entry("b", 1L),
            Map.entry("kb", 1_000L),
            Map.entry("mb", 1_000_000L),
            Map.entry("gb", 1_000_000_000L),
            Map.entry("tb", 1_000_000_000_000L),
            Map.entry("kib", 1L << 10),
            Map.entry("mib", 1L << 20),
            Map.entry("gib", 1L << 30),
            Map.entry("tib", 1L << 40),
            Map.entry("k", 1L << 10),
            Map.entry("m", 1L << 20),
            Map.entry("g", 1L << 30),
            Map.entry("t", 1L << 40));

    /** A number of bytes: {@code 8GB} is 8·10⁹, {@code 8GiB} and {@code 8G} are 8·2³⁰, a bare number is bytes. */
    public static ValueType<Long> bytes() {
        return type("BYTES", raw -> {
            BadValue refusal = new BadValue("a number of bytes above 0, for example 8GB or 7.5GiB");
            String text = raw.toString().strip().toLowerCase(Locale.ROOT).replace(" ", "");
            int digits = 0;
            while (digits < text.length() && (Character.isDigit(text.charAt(digits)) || text.charAt(digits) == '.')) {
                digits++;
            }
            Long unit = BYTE_UNITS.get(text.substring(digits));
            if (unit == null || digits == 0) {
                throw refusal;
            }
            try {
                double value = Double.parseDouble(text.substring(0, digits)) * unit;
                if (value < 1 || value > Long.MAX_VALUE) {
                    throw refusal;
                }
                return (long) value;
            } catch (NumberFormatException e) {
                throw refusal;
            }
        });
    }

    /** Anything, unchanged: for keys of which this version accepts the default alone. */
    public static ValueType<Object> anything() {
        return type("…", raw -> raw);
    }

    static OptionalLong wholeNumber(Object raw) {
        return switch (raw) {
            case Integer value -> OptionalLong.of(value);
            case Long value -> OptionalLong.of(value);
            case BigInteger _ -> OptionalLong.empty();
            case Boolean _ -> OptionalLong.empty();
            case Number value -> wholeNumber(value.doubleValue());
            case String text -> {
                try {
                    yield OptionalLong.of(Long.parseLong(text.strip().replace("_", "")));
                } catch (NumberFormatException e) {
                    yield wholeNumber(floating(text));
                }
            }
            default -> OptionalLong.empty();
        };
    }

    private static OptionalLong wholeNumber(double value) {
        boolean whole = value == Math.rint(value) && Math.abs(value) < 1L << 53;
        return whole ? OptionalLong.of((long) value) : OptionalLong.empty();
    }

    /** The number, or NaN for what is none. Texts count: other YAML readers take {@code 2e-4} for one. */
    static double floating(Object raw) {
        if (raw instanceof Number value) {
            return value.doubleValue();
        }
        if (raw instanceof String text && text.strip().matches("[-+]?[0-9._]+([eE][-+]?[0-9]+)?")) {
            try {
                return Double.parseDouble(text.strip().replace("_", ""));
            } catch (NumberFormatException e) {
                return Double.NaN;
            }
        }
        return Double.NaN;
    }

    private interface Reader<T> {
        T read(Object raw) throws BadValue;
    }

    private static <T> ValueType<T> type(String label, Reader<T> reader) {
        return new ValueType<>() {
            @Override
            public String label() {
                return label;
            }

            @Override
            public T read(Object raw) throws BadValue {
                return reader.read(raw);
            }
        };
    }
}
