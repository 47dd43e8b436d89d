package dev.loranative.lora;

/**
 * The name of a tensor in an adapter file: {@code base_model.model.}, a module of the base model, a suffix that says what the
 * tensor is (PEFT 0.21).
 *
 * @param module name of the module; of a {@link Part#PLAIN} tensor its whole name
 */
record PeftName(String module, Part part) {

    static final String PREFIX = "base_model.model.";

    /** What a tensor is, with the suffix that says so. */
    enum Part {
        /** [r, in] */
        A(".lora_A.weight"),
        /** [out, r] */
        B(".lora_B.weight"),
        /** [out], with {@code lora_bias} */
        B_BIAS(".lora_B.bias"),
        /** [out], with {@code use_dora} */
        MAGNITUDE(".lora_magnitude_vector"),
        /** [r, vocabulary] */
        EMBEDDING_A(".lora_embedding_A"),
        /** [width, r] */
        EMBEDDING_B(".lora_embedding_B"),
        /** [tokens, width] */
        TOKENS(".token_adapter.trainable_tokens_delta"),
        /** The trained bias of a module that has an adapter. */
        BASE_BIAS(".base_layer.bias"),
        /** A copy of the frozen weight of a targeted embedding or head. */
        BASE_WEIGHT(".base_layer.weight"),
        /** A second copy of the trained bias of a module in {@code modules_to_save}. */
        SAVED_BIAS(".modules_to_save.bias"),
        /** The bias that a module in {@code modules_to_save} had before. */
        ORIGINAL_BIAS(".original_module.bias"),
        /** A tensor of the base model that the file replaces. */
        PLAIN("");

        private final String suffix;

        Part(String suffix) {
            this.suffix = suffix;
        }

        /** Whether it belongs to a low-rank update. */
        boolean isLowRank() {
            return compareTo(EMBEDDING_B) <= 0;
        }
    }

    /**
     * @param tensor a name that begins with {@link #PREFIX}
     */
    static PeftName parse(String tensor) {
        String name = tensor.substring(PREFIX.length());
        for (Part part : Part.values()) {
            if (name.endsWith(part.suffix)) {
                return new PeftName(name.substring(0, name.length() - part.suffix.length()), part);
            }
        }
        throw new AssertionError("PLAIN ends every name");
    }

    static String of(String module, Part part) {
        return PREFIX + module + part.suffix;
    }

    /** The suffix without its dot, as messages name it. */
    static String label(Part part) {
        return part.suffix.substring(1);
    }
}
