package dev.loranative.config;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import tools.jackson.databind.json.JsonMapper;

/** Configurations as text: the help of a command, and a YAML file that gives the same values again. */
public final class ConfigText {

    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final int HELP_INDENT = 30;
    private static final int HELP_WIDTH = 100;
    private static final int LONGEST_LABEL = 50;

    private ConfigText() {}

    /** Every value, one {@code key: value} a line under its group; lists and maps in flow form. */
    public static String yaml(ConfigValues values) {
        StringBuilder text = new StringBuilder();
        Map<String, Object> written = values.toMap();
        String group = null;
        for (Key<?> key : values.keys()) {
            if (!key.group().equals(group)) {
                text.append(group == null ? "" : "\n")
                        .append("# ")
                        .append(key.group())
                        .append('\n');
                group = key.group();
            }
            text.append(key.name())
                    .append(": ")
                    .append(flow(written.get(key.name())))
                    .append('\n');
        }
        return text.toString();
    }

    /** JSON is YAML's flow form; words that YAML reads as texts anyway go without quotes. */
    private static String flow(Object value) {
        if (value instanceof String text && text.matches("[A-Za-z_/][A-Za-z0-9_./-]*") && !isReserved(text)) {
            return text;
        }
        return JSON.writeValueAsString(value);
    }

    private static boolean isReserved(String text) {
        return switch (text.toLowerCase(Locale.ROOT)) {
            case "null", "true", "false", "yes", "no", "on", "off", "y", "n" -> true;
            default -> false;
        };
    }

    /** Flags by group, each with its meaning and default; keys that only their default is accepted for are left out. */
    public static String help(List<? extends Key<?>> keys) {
        StringBuilder text = new StringBuilder();
        String group = null;
        for (Key<?> key : keys) {
            if (key.description().isEmpty()) {
                continue;
            }
            if (!key.group().equals(group)) {
                text.append(group == null ? "" : "\n").append(key.group()).append(":\n");
                group = key.group();
            }
            appendHelp(text, key);
        }
        return text.toString();
    }

    /** As a flag takes it. */
    private static String words(List<?> list) {
        return list.stream().map(ConfigText::flow).collect(Collectors.joining(","));
    }

    private static boolean isEmpty(Object value) {
        return value instanceof Map<?, ?> map && map.isEmpty();
    }

    private static void appendHelp(StringBuilder text, Key<?> key) {
        List<String> flags = new ArrayList<>(List.of(key.flag()));
        key.aliases().forEach(alias -> flags.add("--" + alias.replace('_', '-')));
        String label = key.type().label();
        boolean choice = label.length() > LONGEST_LABEL;
        String head = "  " + String.join(", ", flags) + " " + (choice ? "NAME" : label);
        text.append(head);
        int column = head.length();
        if (column >= HELP_INDENT - 1) {
            text.append('\n');
            column = 0;
        }
        text.append(" ".repeat(HELP_INDENT - column));
        column = HELP_INDENT;
        Object standard = key.write(key.defaultValue());
        String shown = standard == null || isEmpty(standard)
                ? ""
                : " [" + (standard instanceof List<?> list ? words(list) : flow(standard)) + "]";
        String choices = choice ? ": " + label.replace("|", ", ") : "";
        String gap = "";
        for (String word : (key.description() + choices + shown).split(" ")) {
            if (column + gap.length() + word.length() > HELP_WIDTH) {
                gap = "\n" + " ".repeat(HELP_INDENT);
                column = HELP_INDENT - gap.length();
            }
            text.append(gap).append(word);
            column += gap.length() + word.length();
            gap = " ";
        }
        text.append('\n');
    }
}
