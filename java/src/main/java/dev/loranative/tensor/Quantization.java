package dev.loranative.tensor;

import dev.loranative.device.Loan;

/** 4-bit weights: {@code ln_quantize}, {@code ln_quantize_absmax}, {@code ln_dequantize}. */
public final class Quantization {

    private final Launcher launcher;

    Quantization(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * Codes and scales of every block of {@code source}.
     *
     * @param source F32, BF16 or F16, of any shape
     * @param type NF4 or FP4
     * @param block elements that share a scale
     * @param codes U8 [(elements + 1) / 2], written
     * @param absmax [blocks], written
     * @throws dev.loranative.ffi.KernelException if an element is not finite
     */
    public void quantize(Tensor source, DType type, long block, Tensor codes, Tensor absmax) {
        requireQuantized(type);
        long elements = source.size();
        Shapes.expect("codes", codes, DType.U8, (elements + 1) / 2);
        Shapes.expectFloats("absmax", absmax, (elements + block - 1) / block);
        launcher.call(() -> (int) launcher.kernels()
                .quantize()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(source),
                        source.dtype().code(),
                        elements,
                        type.code(),
                        block,
                        Launcher.pointer(codes),
                        Launcher.pointer(absmax)));
    }

    /**
     * Double quantisation of scales.
     *
     * @param absmax [blocks]
     * @param nestedCode [256], ascending
     * @param codes U8 [blocks], written
     * @param nestedAbsmax [blocks / nestedBlock, rounded up], written
     * @return the offset: the mean of absmax
     */
    public float quantizeAbsmax(Tensor absmax, long nestedBlock, Tensor nestedCode, Tensor codes, Tensor nestedAbsmax) {
        long blocks = absmax.size();
        Shapes.expectFloats("absmax", absmax, blocks);
        Shapes.expect("codes", codes, DType.U8, blocks);
        Shapes.expectFloats("nested absmax", nestedAbsmax, (blocks + nestedBlock - 1) / nestedBlock);
        try (Loan loan = launcher.device().borrow(Float.BYTES)) {
            Tensor offset = new Tensor(loan.buffer(), 0, DType.F32, 1);
            launcher.call(() -> (int) launcher.kernels()
                    .quantizeAbsmax()
                    .invokeExact(
                            launcher.context(),
                            Launcher.pointer(absmax),
                            blocks,
                            nestedBlock,
                            Launcher.pointer(nestedCode),
                            Launcher.pointer(codes),
                            Launcher.pointer(nestedAbsmax),
                            Launcher.pointer(offset)));
            return offset.toFloats(launcher.device())[0];
        }
    }

    /**
     * Elements [first, first + target.size()) of a 4-bit weight.
     *
     * @param target F32, BF16 or F16, of any shape, written
     */
    public void dequantize(Tensor weight, long first, Tensor target) {
        requireQuantized(weight.dtype());
        java.util.Objects.checkFromIndexSize(first, target.size(), weight.size());
        launcher.call(() -> (int) launcher.kernels()
                .dequantize()
                .invokeExact(
                        launcher.context(),
                        Launcher.pointer(weight),
                        weight.dtype().code(),
                        first,
                        target.size(),
                        Launcher.pointer(target),
                        target.dtype().code()));
    }

    private static void requireQuantized(DType type) {
        if (!type.isQuantized()) {
            throw new IllegalArgumentException(type + " is not a 4-bit type");
        }
    }
}
