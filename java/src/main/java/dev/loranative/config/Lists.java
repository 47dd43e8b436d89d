package dev.loranative.config;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The types of values that hold several: lists, maps, module names. */
public final class Lists {

    private static final String REGEX_CHARACTERS = "\\*+?()[]{}^$|";

    private Lists() {}

    /** A list of {@code element}s; one element alone is a list of one; flags may be repeated or hold commas. */
    public static <T> ValueType<List<T>> of(ValueType<T> element) {
        return new ValueType<>() {
            @Override
            public String label() {
                return element.label() + ",…";
            }

            @Override
            public List<T> read(Object raw) throws BadValue {
                List<?> parts = raw instanceof List<?> list ? list : List.of(raw);
                List<T> values = new ArrayList<>();
                for (Object part : parts) {
                    if (part == null) {
                        throw new BadValue("a list without null");
                    }
                    values.add(element.read(part));
                }
                return List.copyOf(values);
            }

            @Override
            public boolean collects() {
                return true;
            }

            @Override
            public List<T> readFlag(List<String> words) throws BadValue {
                return read(split(words));
            }

            @Override
            public Object write(List<T> value) {
                return value.stream().map(element::write).toList();
            }
        };
    }

    /** As {@link #of}, but one element alone is refused, as in PEFT; on the command line it is a list of one. */
    public static <T> ValueType<List<T>> strict(ValueType<T> element) {
        ValueType<List<T>> lenient = of(element);
        return new ValueType<>() {
            @Override
            public String label() {
                return lenient.label();
            }

            @Override
            public List<T> read(Object raw) throws BadValue {
                if (!(raw instanceof List<?>)) {
                    throw new BadValue("a list, for example [" + raw + "]");
                }
                return lenient.read(raw);
            }

            @Override
            public boolean collects() {
                return true;
            }

            @Override
            public List<T> readFlag(List<String> words) throws BadValue {
                return lenient.readFlag(words);
            }

            @Override
            public Object write(List<T> value) {
                return lenient.write(value);
            }
        };
    }

    /** Files; a comma inside a path is kept: repeat the flag, or write {@code [a, b]}. */
    public static ValueType<List<Path>> paths() {
        ValueType<List<Path>> plain = of(Scalars.path());
        return new ValueType<>() {
            @Override
            public String label() {
                return "PATH";
            }

            @Override
            public List<Path> read(Object raw) throws BadValue {
                List<Path> paths = plain.read(raw);
                if (paths.isEmpty()) {
                    throw new BadValue("at least one path");
                }
                return paths;
            }

            @Override
            public boolean collects() {
                return true;
            }

            @Override
            public List<Path> readFlag(List<String> words) throws BadValue {
                return read(words.size() == 1 && isBracketed(words.getFirst()) ? split(words) : words);
            }

            @Override
            public Object write(List<Path> value) {
                return plain.write(value);
            }
        };
    }

    /** A map from names to {@code element}s; on the command line in YAML's flow form, {@code {name: value}}. */
    public static <T> ValueType<Map<String, T>> map(ValueType<T> element) {
        return new ValueType<>() {
            @Override
            public String label() {
                return "{NAME: " + element.label() + "}";
            }

            @Override
            public Map<String, T> read(Object raw) throws BadValue {
                Object map = raw instanceof String text ? YamlFile.value(text) : raw;
                if (!(map instanceof Map<?, ?> entries)) {
                    throw new BadValue("a map, for example {name: 1}");
                }
                Map<String, T> values = new LinkedHashMap<>();
                for (Map.Entry<?, ?> entry : entries.entrySet()) {
                    if (entry.getValue() == null) {
                        throw new BadValue("a map like {name: 1}, with a space behind the colon and no null");
                    }
                    values.put(String.valueOf(entry.getKey()), valueOf(entry));
                }
                return Collections.unmodifiableMap(values);
            }

            private T valueOf(Map.Entry<?, ?> entry) throws BadValue {
                try {
                    return element.read(entry.getValue());
                } catch (BadValue e) {
                    throw new BadValue("a map in which '" + entry.getKey() + "' is " + e.getMessage());
                }
            }

            @Override
            public Object write(Map<String, T> value) {
                Map<String, Object> written = new LinkedHashMap<>();
                value.forEach((name, element1) -> written.put(name, element.write(element1)));
                return written;
            }
        };
    }

    /**
     * {@code target_modules}, {@code exclude_modules}. In YAML a list is a list and a text a regular expression, as in PEFT
     * (or a group, or {@code all-linear}). On the command line a word with a character of regular expressions is one, and
     * {@code all-linear} stays itself; other words are list entries, separated by commas or given one flag each.
     */
    public static ValueType<ModuleNames> moduleNames() {
        return new ValueType<>() {
            @Override
            public String label() {
                return "NAME,…|REGEX";
            }

            @Override
            public ModuleNames read(Object raw) throws BadValue {
                if (raw instanceof String text && !text.isBlank()) {
                    return ModuleNames.ofText(text);
                }
                if (raw instanceof List<?> list) {
                    List<String> names = new ArrayList<>();
                    for (Object name : list) {
                        if (!(name instanceof String text) || text.isBlank()) {
                            throw new BadValue("a list of module names");
                        }
                        names.add(text);
                    }
                    return new ModuleNames.Names(names);
                }
                throw new BadValue("a list of module names, a regular expression or " + ModuleNames.ALL_LINEAR);
            }

            @Override
            public boolean collects() {
                return true;
            }

            @Override
            public ModuleNames readFlag(List<String> words) throws BadValue {
                if (words.size() == 1) {
                    String word = words.getFirst().strip();
                    if (isBracketed(word)) {
                        return read(split(words));
                    }
                    if (isRegex(word) || new ModuleNames.Pattern(word).isAllLinear()) {
                        return read(word);
                    }
                }
                for (String word : words) {
                    if (isRegex(word)) {
                        throw new BadValue("either names or a single regular expression");
                    }
                }
                return read(split(words));
            }

            @Override
            public Object write(ModuleNames value) {
                return switch (value) {
                    case ModuleNames.Names list -> list.names();
                    case ModuleNames.Pattern pattern -> pattern.text();
                };
            }
        };
    }

    /** Whether the text holds a character that only a regular expression has; a dot alone is part of names. */
    public static boolean isRegex(String text) {
        return text.chars().anyMatch(character -> REGEX_CHARACTERS.indexOf(character) >= 0);
    }

    private static boolean isBracketed(String word) {
        return word.startsWith("[") && word.endsWith("]") && YamlFile.value(word) instanceof List<?>;
    }

    private static List<?> split(List<String> words) throws BadValue {
        List<Object> parts = new ArrayList<>();
        for (String word : words) {
            if (isBracketed(word.strip())) {
                parts.addAll((List<?>) YamlFile.value(word.strip()));
                continue;
            }
            for (String part : word.split(",", -1)) {
                if (part.isBlank()) {
                    throw new BadValue("a list without empty entries");
                }
                parts.add(part.strip());
            }
        }
        return parts;
    }
}
