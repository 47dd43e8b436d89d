package dev.loranative.config;

import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * What {@code target_modules} and {@code exclude_modules} hold: names that are compared as suffixes at a dot boundary, or
 * one regular expression that must match a module's whole name, as in PEFT.
 */
public sealed interface ModuleNames {

    /** Every linear layer of attention, MLP and experts; not the routers, not the head. */
    String ALL_LINEAR = "all-linear";

    /**
     * As a text: no module. PEFT reads adapters without low-rank updates only with this word (its
     * {@code DUMMY_TARGET_MODULES}); an empty list is an error there.
     */
    String NOTHING = "dummy-target-modules";

    /** Names that stand for every linear module of one kind. */
    Set<String> GROUPS = Set.of("router", "experts", "attention", "mlp");

    /** Module names, suffixes of names at a dot boundary, or {@link #GROUPS}. */
    record Names(List<String> names) implements ModuleNames {
        public Names {
            names = List.copyOf(names);
        }

        @Override
        public String toString() {
            return names.toString();
        }
    }

    /** A regular expression (Python's dialect), matched against the whole name, {@link #ALL_LINEAR} or {@link #NOTHING}. */
    record Pattern(String text) implements ModuleNames {

        public boolean isAllLinear() {
            return text.toLowerCase(Locale.ROOT).equals(ALL_LINEAR);
        }

        public boolean isNothing() {
            return text.equals(NOTHING);
        }

        @Override
        public String toString() {
            return text;
        }
    }

    static ModuleNames of(String... names) {
        return new Names(List.of(names));
    }

    /** As a text in YAML or JSON is read: a group is a list of one, everything else a pattern. */
    static ModuleNames ofText(String text) {
        return GROUPS.contains(text) ? of(text) : new Pattern(text);
    }
}
