package dev.loranative.config;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How A and B start; {@code n} is the number of inputs, {@code r} the rank, W the weight. As in PEFT 0.21 but for what the
 * parts say.
 */
public sealed interface InitLoraWeights {

    /** PEFT's {@code true}: A uniform in ±1/sqrt(n), B zero: the model starts unchanged. */
    InitLoraWeights KAIMING = Plain.KAIMING;

    /** PEFT's {@code "gaussian"}: A normal with deviation 1/r, B zero. */
    InitLoraWeights GAUSSIAN = Plain.GAUSSIAN;

    /** PEFT's {@code false}: A uniform in ±1/sqrt(n), B uniform in ±1/sqrt(r): the model starts changed. */
    InitLoraWeights RANDOM = Plain.RANDOM;

    /** Those without settings. */
    enum Plain implements InitLoraWeights {
        KAIMING,
        GAUSSIAN,
        RANDOM,
        /** Neither A nor B is zero, and B·A is; needs an even rank. */
        ORTHOGONAL,
        /** B and A are the first columns of Q and rows of R of W's QR decomposition, taken out of W. */
        OLORA
    }

    /**
     * B and A are the largest singular values of W with their vectors, taken out of W.
     *
     * @param iterations of the randomised decomposition ({@code pissa_niter_N}); 0 for the exact one ({@code pissa})
     */
    record Pissa(int iterations) implements InitLoraWeights {}

    /** B and A are the largest part of what 4-bit quantisation of W lost. */
    record Loftq(LoftqSettings settings) implements InitLoraWeights {}

    /** A holds the directions in which a layer's inputs vary most, B is zero; ranks go where they explain most. */
    record Eva(EvaSettings settings) implements InitLoraWeights {}

    /** Whether the values at the start are taken out of the base, so that the model starts unchanged. */
    default boolean subtractsStart() {
        return this == Plain.OLORA || this instanceof Pissa;
    }

    /** With the settings that other keys give. */
    static InitLoraWeights of(ConfigValues values) {
        InitLoraWeights init = values.get(LoraKeys.INIT_LORA_WEIGHTS);
        return switch (init) {
            case Loftq _ -> new Loftq(values.get(LoraKeys.LOFTQ_CONFIG));
            case Eva eva -> {
                EvaSettings settings = values.get(LoraKeys.EVA_CONFIG);
                yield settings == null ? eva : new Eva(settings);
            }
            default -> init;
        };
    }

    /** Reads and writes the names alone. */
    ValueType<InitLoraWeights> TYPE = new ValueType<>() {

        private static final Pattern PISSA = Pattern.compile("pissa_niter_([1-9]\\d{0,3})");
        private static final String KNOWN =
                "true, false, gaussian, orthogonal, olora, pissa, pissa_niter_N, loftq, eva";

        @Override
        public String label() {
            return "true|false|gaussian|orthogonal|olora|pissa|pissa_niter_N|loftq|eva";
        }

        @Override
        public InitLoraWeights read(Object raw) throws BadValue {
            String name = raw.toString().toLowerCase(Locale.ROOT);
            Matcher pissa = PISSA.matcher(name);
            if (pissa.matches()) {
                return new Pissa(Integer.parseInt(pissa.group(1)));
            }
            return switch (name) {
                case "true" -> KAIMING;
                case "false" -> RANDOM;
                case "gaussian" -> GAUSSIAN;
                case "orthogonal" -> Plain.ORTHOGONAL;
                case "olora" -> Plain.OLORA;
                case "pissa" -> new Pissa(0);
                case "loftq" -> new Loftq(LoftqSettings.DEFAULT);
                case "eva" -> new Eva(EvaSettings.DEFAULT);
                case "corda", "lora_ga", "mica" ->
                    throw new BadValue("one of " + KNOWN + "; corda, lora_ga and mica are not supported");
                default -> throw new BadValue("one of " + KNOWN);
            };
        }

        @Override
        public Object write(InitLoraWeights value) {
            return switch (value) {
                case Plain.KAIMING -> true;
                case Plain.RANDOM -> false;
                case Plain plain -> plain.name().toLowerCase(Locale.ROOT);
                case Pissa pissa -> pissa.iterations() == 0 ? "pissa" : "pissa_niter_" + pissa.iterations();
                case Loftq _ -> "loftq";
                case Eva _ -> "eva";
            };
        }
    };
}
