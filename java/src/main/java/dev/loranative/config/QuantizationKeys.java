package dev.loranative.config;

import java.util.List;

/**
 * How a model's linear layers are held in 4 bits: the names of transformers' {@code BitsAndBytesConfig}. Where its
 * default differs, the field says so.
 */
public final class QuantizationKeys {

    private static final String GROUP = "Quantisation";

    private static final int LEAST_BLOCK = 32;
    private static final int LARGEST_BLOCK = 4096;

    public static final Key<Boolean> LOAD_IN_4BIT = Key.of(
            GROUP,
            "load_in_4bit",
            Scalars.bool(),
            false,
            "whether linear layers are held in 4 bits: attention, MLPs, experts; not routers, embeddings, head");
    /** BitsAndBytesConfig's default is fp4. */
    public static final Key<String> BNB_4BIT_QUANT_TYPE = Key.of(
            GROUP, "bnb_4bit_quant_type", Scalars.choice("nf4", "fp4"), "nf4", "which 16 values a weight can have");

    public static final Key<Boolean> BNB_4BIT_USE_DOUBLE_QUANT = Key.of(
            GROUP,
            "bnb_4bit_use_double_quant",
            Scalars.bool(),
            false,
            "whether the blocks' scales are 8-bit numbers: 4.13 instead of 4.5 bits a weight");
    public static final Key<String> BNB_4BIT_COMPUTE_DTYPE = Key.of(
                    GROUP,
                    "bnb_4bit_compute_dtype",
                    Scalars.choice("float32", "bfloat16", "float16"),
                    "float32",
                    "accepted, and written by quantize; arithmetic here is float32")
            .orNull();
    public static final Key<String> BNB_4BIT_QUANT_STORAGE = Key.of(
            GROUP,
            "bnb_4bit_quant_storage",
            Scalars.choice("uint8", "float16", "bfloat16", "float32"),
            "uint8",
            "type under which quantize writes the codes; their bytes are the same");
    public static final Key<Integer> BNB_4BIT_BLOCKSIZE =
            Key.of(GROUP, "bnb_4bit_blocksize", blockSize(), 64, "weights that share a scale");
    public static final Key<List<String>> BNB_4BIT_SKIP_MODULES = Key.of(
                    GROUP,
                    "bnb_4bit_skip_modules",
                    Lists.of(Scalars.text()),
                    null,
                    "further modules that stay as they are: beginnings (regular expressions) or ends of names")
            .alias("llm_int8_skip_modules");
    public static final Key<Boolean> BNB_4BIT_LM_HEAD =
            Key.of(GROUP, "bnb_4bit_lm_head", Scalars.bool(), false, "whether the output layer is held in 4 bits too");

    /** All of them, in the order of the help. */
    public static final List<Key<?>> ALL = List.of(
            LOAD_IN_4BIT,
            BNB_4BIT_QUANT_TYPE,
            BNB_4BIT_USE_DOUBLE_QUANT,
            BNB_4BIT_COMPUTE_DTYPE,
            BNB_4BIT_QUANT_STORAGE,
            BNB_4BIT_BLOCKSIZE,
            BNB_4BIT_SKIP_MODULES,
            BNB_4BIT_LM_HEAD);

    private QuantizationKeys() {}

    private static ValueType<Integer> blockSize() {
        ValueType<Integer> count = Scalars.count(1);
        return new ValueType<>() {
            @Override
            public String label() {
                return count.label();
            }

            @Override
            public Integer read(Object raw) throws BadValue {
                int size = count.read(raw);
                if (size < LEAST_BLOCK || size > LARGEST_BLOCK || Integer.bitCount(size) != 1) {
                    throw new BadValue("a power of two from " + LEAST_BLOCK + " to " + LARGEST_BLOCK);
                }
                return size;
            }
        };
    }
}
