package dev.loranative.errors;

import java.util.regex.Pattern;

/** What a JSON parser says, without its advice for programmers. */
public final class ParserMessage {

    private static final Pattern SPACE = Pattern.compile("\\s+");

    /** Names of classes and switches of the parser, and where it thinks that a value began. */
    private static final Pattern FOR_PROGRAMMERS = Pattern.compile(
            " \\(start marker at .*|: enable `.*| \\(token `.*| \\((?:bound as|through reference chain).*"
                    + "|, from `[^`]*`(?=\\))| at \\[Source: .*");

    private ParserMessage() {}

    /**
     * One line for the user.
     *
     * @param original the message of the parser's exception, without its place
     */
    public static String plain(String original) {
        String text =
                original == null ? "" : SPACE.matcher(original).replaceAll(" ").strip();
        if (text.startsWith("Trailing token")) {
            return "text after the end of the value";
        }
        String plain = FOR_PROGRAMMERS.matcher(text).replaceAll("").strip();
        return plain.isEmpty() ? "not readable" : plain;
    }
}
