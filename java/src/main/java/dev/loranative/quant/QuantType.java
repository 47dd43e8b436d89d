package dev.loranative.quant;

import dev.loranative.tensor.DType;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.Collectors;

/** The 4-bit types of bitsandbytes: which 16 values a code stands for, before the block's scale. */
public enum QuantType {
    /** Quantiles of the normal distribution (Dettmers et al. 2023, arXiv:2305.14314). */
    NF4(
            DType.NF4,
            0xBF800000,
            0xBF3239B1,
            0xBF066B30,
            0xBECA32A0,
            0xBE91A24D,
            0xBE3D353F,
            0xBDBA7871,
            0x00000000,
            0x3DA2FAFF,
            0x3E24CAE3,
            0x3E7C04DD,
            0x3EAD033A,
            0x3EE1A4B8,
            0x3F1007AB,
            0x3F3913B3,
            0x3F800000),
    /** Sign, two bits of exponent, one of mantissa, over 12. */
    FP4(
            DType.FP4,
            0x00000000,
            0x3BAAAAAB,
            0x3F2AAAAB,
            0x3F800000,
            0x3EAAAAAB,
            0x3F000000,
            0x3E2AAAAB,
            0x3E800000,
            0x00000000,
            0xBBAAAAAB,
            0xBF2AAAAB,
            0xBF800000,
            0xBEAAAAAB,
            0xBF000000,
            0xBE2AAAAB,
            0xBE800000);

    private final DType dtype;
    private final int[] bits;

    QuantType(DType dtype, int... bits) {
        this.dtype = dtype;
        this.bits = bits;
    }

    /** The type of a weight's tensor. */
    public DType dtype() {
        return dtype;
    }

    /** The name in config.json and in a quantisation state: {@code nf4} or {@code fp4}. */
    public String word() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }

    /** The value of every code, as a checkpoint's {@code quant_map} has it. */
    public float[] table() {
        float[] table = new float[bits.length];
        for (int code = 0; code < table.length; code++) {
            table[code] = Float.intBitsToFloat(bits[code]);
        }
        return table;
    }

    /** The type of this name, empty if there is none. */
    public static Optional<QuantType> named(String word) {
        return Arrays.stream(values()).filter(type -> type.word().equals(word)).findFirst();
    }

    static String words() {
        return Arrays.stream(values()).map(QuantType::word).collect(Collectors.joining(", "));
    }
}
