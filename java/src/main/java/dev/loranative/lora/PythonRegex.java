package dev.loranative.lora;

import dev.loranative.errors.UserException;
import java.util.Locale;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * A regular expression in Python's dialect, which PEFT's settings are written in, run by Java's.
 *
 * <p>What is spelled otherwise in Java is rewritten: named groups, {@code \Z}, comments, {@code {,n}}, and brackets or
 * {@code &&} inside a class, which are plain characters in Python.
 */
final class PythonRegex {

    private final Pattern pattern;

    private PythonRegex(Pattern pattern) {
        this.pattern = pattern;
    }

    /**
     * @param setting where the expression was given, for the message
     * @throws UserException if it is no valid expression
     */
    static PythonRegex compile(String expression, String setting) {
        return new PythonRegex(java(expression, setting));
    }

    /** An expression between two of ours; if it is no valid one, the message shows it alone. */
    static PythonRegex inside(String before, String expression, String after, String setting) {
        java(expression, setting);
        return compile(before + expression + after, setting);
    }

    /** The same expression for Java. */
    static Pattern java(String expression, String setting) {
        try {
            return Pattern.compile(translate(expression), Pattern.UNIX_LINES | Pattern.UNICODE_CHARACTER_CLASS);
        } catch (PatternSyntaxException e) {
            throw UserException.badInput(
                    setting + ": '" + expression + "' is not a valid regular expression: "
                            + e.getDescription().toLowerCase(Locale.ROOT),
                    "correct the expression, or give a list of names");
        }
    }

    /** Python's {@code re.fullmatch}. */
    boolean matchesWhole(String name) {
        return pattern.matcher(name).matches();
    }

    private static String translate(String source) {
        StringBuilder target = new StringBuilder();
        int i = 0;
        while (i < source.length()) {
            char character = source.charAt(i);
            if (character == '\\' && i + 1 < source.length()) {
                String pair = source.substring(i, i + 2);
                target.append(pair.equals("\\Z") ? "\\z" : pair);
                i += 2;
            } else if (character == '[') {
                i = translateClass(source, i, target);
            } else if (source.startsWith("(?P", i) || source.startsWith("(?#", i)) {
                i = translateGroup(source, i, target);
            } else if (character == '{') {
                i = translateBraces(source, i, target);
            } else {
                target.append(character);
                i++;
            }
        }
        return target.toString();
    }

    private static int translateClass(String source, int start, StringBuilder target) {
        int i = start + 1;
        target.append('[');
        if (i < source.length() && source.charAt(i) == '^') {
            target.append('^');
            i++;
        }
        boolean first = true;
        while (i < source.length() && (first || source.charAt(i) != ']')) {
            char character = source.charAt(i);
            if (character == '\\' && i + 1 < source.length()) {
                target.append(character).append(source.charAt(i + 1));
                i++;
            } else if (character == '[' || character == ']' || character == '&') {
                target.append('\\').append(character);
            } else {
                target.append(character);
            }
            first = false;
            i++;
        }
        if (i < source.length()) {
            target.append(']');
            i++;
        }
        return i;
    }

    private static int translateGroup(String source, int start, StringBuilder target) {
        if (source.startsWith("(?#", start)) {
            int end = source.indexOf(')', start);
            return end < 0 ? source.length() : end + 1;
        }
        boolean reference = source.startsWith("(?P=", start);
        int end = source.indexOf(reference ? ')' : '>', start);
        if (end < 0 || !reference && !source.startsWith("(?P<", start)) {
            target.append("(?P");
            return start + 3;
        }
        String name = groupName(source.substring(start + 4, end));
        target.append(reference ? "\\k<" : "(?<").append(name).append('>');
        return end + 1;
    }

    /** Java's names have no underscore. */
    private static String groupName(String name) {
        return "g" + name.replace("_", "Zu");
    }

    private static int translateBraces(String source, int start, StringBuilder target) {
        int end = source.indexOf('}', start);
        String inside = end < 0 ? "" : source.substring(start + 1, end);
        if (inside.matches("\\d+(,\\d*)?")) {
            target.append(source, start, end + 1);
            return end + 1;
        }
        if (inside.matches(",\\d*")) {
            target.append("{0").append(inside).append('}');
            return end + 1;
        }
        target.append("\\{");
        return start + 1;
    }
}
