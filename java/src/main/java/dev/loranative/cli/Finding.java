package dev.loranative.cli;

import java.util.Locale;

/**
 * One thing that {@code doctor} looked at.
 *
 * @param name for example {@code memory}
 * @param detail what was found, one line
 * @param advice what to do about it; empty when it is well
 */
record Finding(Level level, String name, String detail, String advice) {

    enum Level {
        OK,
        /** Works, with less than there could be. */
        WARN,
        /** Training is impossible. */
        FAIL;

        String word() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    static Finding ok(String name, String detail) {
        return new Finding(Level.OK, name, detail, "");
    }

    static Finding warn(String name, String detail, String advice) {
        return new Finding(Level.WARN, name, detail, advice);
    }

    static Finding fail(String name, String detail, String advice) {
        return new Finding(Level.FAIL, name, detail, advice);
    }

    boolean isFailure() {
        return level == Level.FAIL;
    }
}
