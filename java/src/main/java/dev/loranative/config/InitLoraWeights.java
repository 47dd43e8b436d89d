package dev.loranative.config;

import java.util.Locale;

/** How A and B start; {@code n} is the number of inputs, {@code r} the rank. Distributions as in PEFT 0.21. */
public enum InitLoraWeights {
    /** PEFT's {@code true}: A uniform in ±1/sqrt(n), B zero: the model starts unchanged. */
    KAIMING,
    /** PEFT's {@code "gaussian"}: A normal with deviation 1/r, B zero. */
    GAUSSIAN,
    /** PEFT's {@code false}: A uniform in ±1/sqrt(n), B uniform in ±1/sqrt(r): the model starts changed. */
    RANDOM;

    static final ValueType<InitLoraWeights> TYPE = new ValueType<>() {
        @Override
        public String label() {
            return "true|false|gaussian";
        }

        @Override
        public InitLoraWeights read(Object raw) throws BadValue {
            return switch (raw.toString().toLowerCase(Locale.ROOT)) {
                case "true" -> KAIMING;
                case "false" -> RANDOM;
                case "gaussian" -> GAUSSIAN;
                default -> throw new BadValue("true, false or gaussian (others are not supported yet)");
            };
        }

        @Override
        public Object write(InitLoraWeights value) {
            return switch (value) {
                case KAIMING -> true;
                case RANDOM -> false;
                case GAUSSIAN -> "gaussian";
            };
        }
    };
}
