package dev.loranative.config;

import dev.loranative.errors.UserException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Reads values for a set of keys: defaults, then a YAML file, then flags, the later one winning.
 *
 * <p>Flags are {@code --key value} or {@code --key=value}, with dashes or underscores; booleans also {@code --key} and
 * {@code --no-key}; {@code --config FILE} names the YAML file.
 */
public final class ConfigParser {

    private static final Set<String> BOOLEAN_WORDS = Set.of("true", "false", "yes", "no", "on", "off");

    private final List<Key<?>> keys;
    private final Map<String, Key<?>> byName = new LinkedHashMap<>();

    /**
     * @param keys what the command knows, in the order of its help
     */
    public ConfigParser(List<? extends Key<?>> keys) {
        this.keys = List.copyOf(keys);
        for (Key<?> key : this.keys) {
            register(key.name(), key);
            key.aliases().forEach(alias -> register(alias, key));
        }
    }

    private void register(String name, Key<?> key) {
        if (byName.put(name, key) != null) {
            throw new IllegalArgumentException("two keys are named " + name);
        }
    }

    /**
     * Flags alone; {@code --config FILE} among them is read first.
     *
     * @throws UserException for unknown keys, values out of range, and what this version cannot do yet
     */
    public ConfigValues parse(List<String> flags) {
        return parse(Optional.empty(), flags);
    }

    /** As {@link #parse(List)}; a {@code --config} among the flags takes the place of {@code yaml}. */
    public ConfigValues parse(Optional<Path> yaml, List<String> flags) {
        Map<Key<?>, List<String>> words = new LinkedHashMap<>();
        Map<Key<?>, String> spellings = new LinkedHashMap<>();
        Path file = yaml.orElse(null);
        for (int i = 0; i < flags.size(); i++) {
            Flag flag = Flag.of(flags.get(i), i + 1 < flags.size() ? flags.get(i + 1) : null, this);
            i += flag.follows() ? 1 : 0;
            if (flag.key() == null) {
                file = configFile(flag);
            } else {
                words.computeIfAbsent(flag.key(), _ -> new ArrayList<>()).add(flag.value());
                spellings.put(flag.key(), flag.spelling());
            }
        }
        ConfigValues values = ConfigValues.defaults(keys);
        if (file != null) {
            values = withFile(values, file);
        }
        for (Map.Entry<Key<?>, List<String>> entry : words.entrySet()) {
            values = withFlag(values, entry.getKey(), spellings.get(entry.getKey()), entry.getValue());
        }
        return values;
    }

    /**
     * Values from a map, for example of a JSON file.
     *
     * @param origin the file, for messages
     */
    public ConfigValues parse(Map<String, Object> map, String origin) {
        ConfigValues values = ConfigValues.defaults(keys);
        for (Map.Entry<String, Object> entry : map.entrySet()) {
            Key<?> key = find(entry.getKey(), origin);
            values = withRaw(values, key, key.name(), entry.getValue(), origin);
        }
        return values;
    }

    private static Path configFile(Flag flag) {
        try {
            return Scalars.path().read(flag.value());
        } catch (BadValue e) {
            throw refused(flag.spelling(), e, flag.value(), "the command line");
        }
    }

    /** Whether the name, or one of the aliases, is a key of this parser. */
    public boolean knows(String name) {
        return byName.containsKey(name);
    }

    private ConfigValues withFile(ConfigValues start, Path file) {
        ConfigValues values = start;
        Map<Key<?>, String> seen = new LinkedHashMap<>();
        for (YamlFile.Entry entry : YamlFile.entries(file)) {
            String origin = file + ":" + entry.line();
            Key<?> key = find(entry.name().replace('-', '_'), origin);
            String twin = seen.put(key, entry.name());
            if (twin != null) {
                throw UserException.badInput(
                        entry.name() + " at " + origin + " sets " + key.name() + " again, which " + twin + " has set",
                        "keep one of the two");
            }
            values = withRaw(values, key, entry.name(), entry.value(), origin);
        }
        return values;
    }

    private static <T> ConfigValues withRaw(
            ConfigValues values, Key<T> key, String spelling, Object raw, String origin) {
        try {
            return withChecked(
                    values, key, spelling, raw == null ? none(key) : key.type().read(raw), origin);
        } catch (BadValue e) {
            throw refused(spelling, e, raw, origin);
        }
    }

    private static <T> ConfigValues withFlag(ConfigValues values, Key<T> key, String spelling, List<String> words) {
        String last = words.getLast();
        try {
            boolean none = key.nullable() && (last.equals("null") || last.equals("none"));
            return withChecked(values, key, spelling, none ? null : key.type().readFlag(words), spelling);
        } catch (BadValue e) {
            throw refused(spelling, e, shownWords(key, words), "the command line");
        }
    }

    /** Of a value that cannot be a list, the last word is the one that was read. */
    private static String shownWords(Key<?> key, List<String> words) {
        return key.type().collects() ? String.join(" ", words) : words.getLast();
    }

    private static <T> T none(Key<T> key) throws BadValue {
        if (!key.nullable()) {
            throw new BadValue(key.type() instanceof ValueType<?> type ? "given as " + type.label() : "given");
        }
        return null;
    }

    private static <T> ConfigValues withChecked(
            ConfigValues values, Key<T> key, String spelling, T value, String origin) {
        if (!key.supports(value)) {
            String where = origin.equals(spelling) ? "" : " (" + origin + ")";
            throw UserException.badInput(
                    spelling + ": " + key.write(value) + where
                            + (key.refusal().isEmpty()
                                    ? " is not supported yet"
                                    : " is not supported: " + key.refusal()),
                    key.defaultValue() == null
                            ? "leave " + key.name() + " out"
                            : "leave " + key.name() + " out or at " + key.write(key.defaultValue()));
        }
        return values.with(key, value, origin);
    }

    private static UserException refused(String spelling, BadValue refusal, Object raw, String origin) {
        return UserException.badInput(
                spelling + " must be " + refusal.getMessage() + ", not " + shown(raw) + " (" + origin + ")",
                "correct the value of " + spelling);
    }

    private static String shown(Object raw) {
        String text = raw instanceof String word ? "'" + word + "'" : String.valueOf(raw);
        String line = text.replaceAll("\\R", " ");
        return line.length() <= 120 ? line : line.substring(0, 117) + "...";
    }

    Key<?> find(String name, String origin) {
        Key<?> key = byName.get(name);
        if (key == null) {
            throw UserException.badInput(
                    "unknown key '" + name + "' in " + origin,
                    "did you mean " + String.join(", ", Nearest.to(name, byName.keySet(), 3)) + "?");
        }
        return key;
    }

    /**
     * One flag of a command line.
     *
     * @param key null for {@code --config}
     * @param follows whether the value is the next word
     */
    private record Flag(Key<?> key, String spelling, String value, boolean follows) {

        static Flag of(String word, String next, ConfigParser parser) {
            if (!word.startsWith("--") || word.length() == 2) {
                throw UserException.badInput(
                        "unexpected argument '" + word + "'", "values follow a flag: --key value or --key=value");
            }
            int equals = word.indexOf('=');
            String spelling = equals < 0 ? word : word.substring(0, equals);
            String inline = equals < 0 ? null : word.substring(equals + 1);
            String name = spelling.substring(2).replace('-', '_');
            if (name.equals("config") && !parser.knows("config")) {
                return valued(null, spelling, inline, next);
            }
            Key<?> key = parser.byName.get(name);
            if (key == null
                    && name.startsWith("no_")
                    && inline == null
                    && isBoolean(parser.byName.get(name.substring(3)))) {
                return new Flag(parser.byName.get(name.substring(3)), spelling, "false", false);
            }
            if (key == null) {
                throw UserException.badInput(
                        "unknown flag '" + spelling + "'",
                        "did you mean "
                                + String.join(
                                        ", ",
                                        Nearest.to(name, parser.byName.keySet(), 3).stream()
                                                .map(known -> "--" + known.replace('_', '-'))
                                                .toList())
                                + "?");
            }
            if (isBoolean(key) && inline == null) {
                boolean follows = next != null && BOOLEAN_WORDS.contains(next.toLowerCase(Locale.ROOT));
                return new Flag(key, spelling, follows ? next : "true", follows);
            }
            return valued(key, spelling, inline, next);
        }

        private static Flag valued(Key<?> key, String spelling, String inline, String next) {
            if (inline == null && (next == null || next.startsWith("--"))) {
                throw UserException.badInput("flag " + spelling + " needs a value", "write " + spelling + " VALUE");
            }
            return new Flag(key, spelling, inline == null ? next : inline, inline == null);
        }

        private static boolean isBoolean(Key<?> key) {
            return key != null && key.type().label().equals(Scalars.bool().label());
        }
    }
}
