package dev.loranative.quant;

/** The tensors that stand beside a 4-bit weight in a checkpoint. */
enum Part {
    ABSMAX("absmax"),
    QUANT_MAP("quant_map"),
    NESTED_ABSMAX("nested_absmax"),
    NESTED_QUANT_MAP("nested_quant_map");

    /** What the name of the quantisation state adds to the weight's, before the type. */
    static final String STATE = ".quant_state.";

    /** Who wrote the state, before the type. */
    static final String WRITER = "bitsandbytes__";

    private final String suffix;

    Part(String suffix) {
        this.suffix = suffix;
    }

    /** The name of this part of a weight. */
    String of(String weight) {
        return weight + "." + suffix;
    }

    static String state(String weight, QuantType type) {
        return weight + STATE + WRITER + type.word();
    }
}
