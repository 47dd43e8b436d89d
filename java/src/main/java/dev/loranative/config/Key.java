package dev.loranative.config;

import java.util.List;
import java.util.Objects;
import java.util.function.Predicate;

/**
 * One name that a configuration may set: its spelling, its type, its default and what it means.
 *
 * @param name snake_case, as in transformers, PEFT or TRL
 * @param aliases other spellings, snake_case
 * @param group the heading under which the help and {@code train_config.yaml} list it
 * @param type how values are read and written
 * @param defaultValue the value when nobody sets the key; {@code null} only if {@code nullable}
 * @param nullable whether {@code null} (on the command line: {@code null} or {@code none}) may be given
 * @param supported what this version can do; other values that the type reads give "is not supported yet"
 * @param refusal why other values are not supported, to stand behind a colon; empty: they may be one day
 * @param description one sentence for the help
 */
public record Key<T>(
        String name,
        List<String> aliases,
        String group,
        ValueType<T> type,
        T defaultValue,
        boolean nullable,
        Predicate<T> supported,
        String refusal,
        String description) {

    /** A key whose unsupported values may be supported one day. */
    public Key(
            String name,
            List<String> aliases,
            String group,
            ValueType<T> type,
            T defaultValue,
            boolean nullable,
            Predicate<T> supported,
            String description) {
        this(name, aliases, group, type, defaultValue, nullable, supported, "", description);
    }

    /** A key that holds no null, without aliases, of which every value is supported. */
    public static <T> Key<T> of(String group, String name, ValueType<T> type, T defaultValue, String description) {
        return new Key<>(name, List.of(), group, type, defaultValue, defaultValue == null, _ -> true, description);
    }

    public Key<T> alias(String... names) {
        return new Key<>(name, List.of(names), group, type, defaultValue, nullable, supported, refusal, description);
    }

    public Key<T> orNull() {
        return new Key<>(name, aliases, group, type, defaultValue, true, supported, refusal, description);
    }

    /** Values for which the test fails are known but refused. */
    public Key<T> supportedIf(Predicate<T> test) {
        return new Key<>(name, aliases, group, type, defaultValue, nullable, test, refusal, description);
    }

    /** Says why values are refused that {@link #supportedIf} leaves out. */
    public Key<T> because(String reason) {
        return new Key<>(name, aliases, group, type, defaultValue, nullable, supported, reason, description);
    }

    /** Only the default (or null, where allowed) is accepted in this version. */
    public Key<T> onlyDefault() {
        return supportedIf(value -> Objects.equals(value, defaultValue));
    }

    /** The spelling on the command line: {@code --lora-alpha} for {@code lora_alpha}. */
    public String flag() {
        return "--" + name.replace('_', '-');
    }

    boolean supports(Object value) {
        @SuppressWarnings("unchecked") // the value was read by this key's own type
        T typed = (T) value;
        return value == null || supported.test(typed);
    }

    /** A value of this key as a YAML or JSON writer takes it; null stays null. */
    public Object write(Object value) {
        @SuppressWarnings("unchecked") // the value was read by this key's own type
        T typed = (T) value;
        return value == null ? null : type.write(typed);
    }
}
