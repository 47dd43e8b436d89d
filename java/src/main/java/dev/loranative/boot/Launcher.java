package dev.loranative.boot;

import java.lang.reflect.InvocationTargetException;

/**
 * The jar's main class: refuses a Java that is too old in two plain lines, otherwise hands over to the command line.
 *
 * <p>Compiled for Java 8 and without a static reference to any other class of the jar, so that every Java in use can
 * load it and reach the sentence.
 */
public final class Launcher {

    private static final int REQUIRED_FEATURE = 25;
    private static final int BAD_INPUT = 2;
    private static final String MAIN = "dev.loranative.cli.Main";

    private Launcher() {}

    public static void main(String[] args) throws Throwable {
        if (feature(System.getProperty("java.specification.version")) < REQUIRED_FEATURE) {
            System.err.println("error: lora-native needs Java " + REQUIRED_FEATURE + " or newer (this is Java "
                    + System.getProperty("java.version") + ", " + System.getProperty("java.home") + ")");
            System.err.println("hint: run it with the java of a JDK " + REQUIRED_FEATURE
                    + ", or use the ./lora-native script, which looks for one");
            System.exit(BAD_INPUT);
        }
        try {
            Class.forName(MAIN).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException failure) {
            throw failure.getCause();
        }
    }

    /** The feature number of a specification version: 8 for "1.8", 25 for "25". */
    static int feature(String specificationVersion) {
        String[] parts = specificationVersion.split("\\.");
        return Integer.parseInt(parts[0].equals("1") && parts.length > 1 ? parts[1] : parts[0]);
    }
}
