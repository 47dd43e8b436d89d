package dev.loranative.tensor.cases;

import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Quantization;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** To 4 bits and back; the scales to 8 bits. */
final class QuantizationCases {

    private static final int NESTED_BLOCK = 256;
    private static final int NESTED_CODES = 256;

    private QuantizationCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (DType type : new DType[] {DType.NF4, DType.FP4}) {
            for (int n : new int[] {1, 33, 64, 1001}) {
                cases.add(quantize(Use.CHECK, n, 32, type));
                cases.add(dequantize(Use.CHECK, n, 32, type));
            }
            cases.add(quantize(Use.CHECK, 10_000, 4096, type));
            cases.add(dequantize(Use.CHECK, 10_000, 4096, type));
        }
        for (int blocks : new int[] {1, 33, 300}) {
            cases.add(quantizeAbsmax(Use.CHECK, blocks));
        }
        // A projection of llama-medium.
        cases.add(quantize(Use.TIME, 2816 * 1024, 64, DType.NF4));
        cases.add(dequantize(Use.TIME, 2816 * 1024, 64, DType.NF4));
        cases.add(quantizeAbsmax(Use.TIME, 2816 * 1024 / 64));
        return cases;
    }

    private static double bytes(int n, int block) {
        return Math.ceilDiv(n, 2) + 4.0 * Math.ceilDiv(n, block);
    }

    private static OpCase quantize(Use use, int n, int block, DType type) {
        Work work = new Work(2.0 * n, 4.0 * n + bytes(n, block));
        return new OpCase(Family.QUANTIZATION, "quantize", n + " by " + block, type, use, work, bench -> {
            float[] values = bench.normal(n);
            Tensor source = bench.floats(values, n);
            Tensor codes = Tensor.allocate(bench.device(), DType.U8, Math.ceilDiv(n, 2));
            Tensor absmax = bench.unwritten(Math.ceilDiv(n, block));
            Quantization quantization = bench.ops().quantization();
            return OpRun.of(() -> quantization.quantize(source, type, block, codes, absmax), () -> {
                PlainFourBits plain = PlainFourBits.of(type, values, block);
                return List.of(
                        Output.equal("codes", codes, plain.codes()), Output.equal("absmax", absmax, plain.absmax()));
            });
        });
    }

    private static OpCase dequantize(Use use, int n, int block, DType type) {
        Work work = new Work(n, 4.0 * n + bytes(n, block));
        return new OpCase(Family.QUANTIZATION, "dequantize", n + " by " + block, type, use, work, bench -> {
            PlainFourBits plain = PlainFourBits.of(type, bench.normal(n), block);
            Tensor weight = bench.fourBits(type, plain, n);
            Tensor target = bench.unwritten(n);
            Quantization quantization = bench.ops().quantization();
            return OpRun.of(
                    () -> quantization.dequantize(weight, 0, target),
                    () -> List.of(Output.equal("values", target, plain.values())));
        });
    }

    private static OpCase quantizeAbsmax(Use use, int blocks) {
        int scales = Math.ceilDiv(blocks, NESTED_BLOCK);
        Work work = new Work(3.0 * blocks, 5.0 * blocks + 4.0 * (scales + NESTED_CODES));
        return new OpCase(Family.QUANTIZATION, "quantize_absmax", "" + blocks, DType.F32, use, work, bench -> {
            float[] absmax = bench.normal(blocks);
            float[] code = new float[NESTED_CODES];
            for (int i = 0; i < code.length; i++) {
                code[i] = (i - 127) / 128f;
            }
            return quantizeAbsmax(bench, absmax, code, scales);
        });
    }

    private static OpRun quantizeAbsmax(Bench bench, float[] absmax, float[] code, int scales) {
        Tensor source = bench.floats(absmax, absmax.length);
        Tensor nestedCode = bench.floats(code, code.length);
        Tensor codes = Tensor.allocate(bench.device(), DType.U8, absmax.length);
        Tensor nestedAbsmax = bench.unwritten(scales);
        Tensor offset = bench.unwritten(1);
        Quantization quantization = bench.ops().quantization();
        Runnable call = () -> offset.copyFrom(
                bench.device(),
                new float[] {quantization.quantizeAbsmax(source, NESTED_BLOCK, nestedCode, codes, nestedAbsmax)});
        return OpRun.of(call, () -> {
            double sum = 0;
            for (float value : absmax) {
                sum += value;
            }
            // Differences are those to the mean as the kernel rounds it, which a float holds.
            double mean = sum / absmax.length;
            double[] expected = new double[scales];
            for (int i = 0; i < absmax.length; i++) {
                int block = i / NESTED_BLOCK;
                expected[block] = Math.max(expected[block], Math.abs(absmax[i] - mean));
            }
            double[] nearest = new double[absmax.length];
            for (int i = 0; i < absmax.length; i++) {
                double scale = expected[i / NESTED_BLOCK];
                double relative = scale == 0 ? 0 : (absmax[i] - mean) / scale;
                nearest[i] = scale == 0 ? 0 : Math.clamp(Math.round(127 + 128 * relative), 0, 255);
            }
            return List.of(
                    Output.close("offset", offset, new double[] {mean}),
                    Output.close("nested absmax", nestedAbsmax, expected),
                    Output.close("codes", codes, nearest, 0));
        });
    }
}
