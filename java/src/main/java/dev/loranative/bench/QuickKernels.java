package dev.loranative.bench;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import dev.loranative.tensor.Activation;
import dev.loranative.tensor.Attentions;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.ExpertWeights;
import dev.loranative.tensor.Losses;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.QuantizedParts;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * The kernels that a step spends its time in, at sizes that models have, each measured for a moment. The benchmarks
 * module measures every op, with more care.
 */
public final class QuickKernels {

    private static final int ROWS = 512;

    /** Numbers of a 4-bit weight that share a scale. */
    private static final int BLOCK = 64;

    /**
     * A GPU works through so many calls, or so many nanoseconds of them, before it is waited for: the way there and back is
     * no part of a kernel.
     */
    private static final int QUEUED_CALLS = 100;

    private static final long QUEUED_NANOS = 10_000_000;

    private final Device device;
    private final Ops ops;
    private final SplittableRandom random = new SplittableRandom(3);
    private final double seconds;
    private final List<KernelSpeed> speeds = new ArrayList<>();

    private QuickKernels(Device device, double seconds) {
        this.device = device;
        this.ops = new Ops(device);
        this.seconds = seconds;
    }

    /**
     * @param device takes their memory until it is closed
     * @param seconds for each kernel
     */
    public static List<KernelSpeed> measure(Device device, double seconds) {
        QuickKernels kernels = new QuickKernels(device, seconds);
        kernels.linear(ROWS, 1024, 1024, DType.F32);
        kernels.linear(ROWS, 1024, 1024, DType.BF16);
        kernels.linear(ROWS, 1024, 1024, DType.NF4);
        kernels.linear(1, 1024, 1024, DType.BF16);
        kernels.linear(1, 1024, 1024, DType.NF4);
        kernels.adapted(ROWS, 1024, 1024, 8);
        kernels.experts(64, 8, 768, 256);
        kernels.attention(2, 256, 16, 8, 64);
        kernels.rows(ROWS, 1024);
        kernels.gated(ROWS * 2816);
        kernels.loss(ROWS / 4, 16384);
        kernels.adamW(1 << 20);
        return kernels.speeds;
    }

    private Tensor floats(long... shape) {
        Tensor tensor = Tensor.allocate(device, DType.F32, shape);
        float[] values = new float[Math.toIntExact(tensor.size())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextDouble(-1, 1);
        }
        tensor.copyFrom(device, values);
        return tensor;
    }

    private Tensor weight(DType dtype, long... shape) {
        Tensor values = floats(shape);
        if (dtype == DType.F32) {
            return values;
        }
        if (dtype.isQuantized()) {
            return fourBits(dtype, values, shape);
        }
        Tensor weight = Tensor.allocate(device, dtype, shape);
        ops.elementwise().cast(values, weight);
        return weight;
    }

    private Tensor fourBits(DType dtype, Tensor values, long... shape) {
        Tensor codes = Tensor.allocate(device, DType.U8, values.size() / 2);
        Tensor absmax = Tensor.allocate(device, DType.F32, values.size() / BLOCK);
        ops.quantization().quantize(values, dtype, BLOCK, codes, absmax);
        return new QuantizedParts(codes, absmax, null, null, BLOCK, 0, 0).weight(device, dtype, shape);
    }

    /** As it lies in memory: a 4-bit one is codes, and a scale for each block. */
    private static double bytes(Tensor weight) {
        return weight.dtype().isQuantized() ? weight.size() * (0.5 + (double) Float.BYTES / BLOCK) : weight.bytes();
    }

    private static String name(DType dtype) {
        return switch (dtype) {
            case F32 -> "float32";
            case BF16 -> "bfloat16";
            default -> dtype.name();
        };
    }

    /** Warms up, then takes the median call. */
    private void time(String name, String shape, double flops, double bytes, Runnable call) {
        call.run();
        int calls = device instanceof CpuDevice ? 1 : queued(call);
        List<Long> nanos = new ArrayList<>();
        long end = System.nanoTime() + (long) (seconds * 1e9);
        do {
            long start = System.nanoTime();
            for (int i = 0; i < calls; i++) {
                call.run();
            }
            device.synchronise();
            nanos.add((System.nanoTime() - start) / calls);
        } while (System.nanoTime() < end || nanos.size() < 3);
        double[] sorted = nanos.stream().mapToDouble(Long::doubleValue).toArray();
        Arrays.sort(sorted);
        speeds.add(new KernelSpeed(name, shape, sorted[sorted.length / 2] / 1e9, flops, bytes));
    }

    private int queued(Runnable call) {
        device.synchronise();
        long start = System.nanoTime();
        call.run();
        device.synchronise();
        return Math.clamp(QUEUED_NANOS / (System.nanoTime() - start + 1), 1, QUEUED_CALLS);
    }

    private void linear(int rows, int out, int in, DType dtype) {
        Tensor x = floats(rows, in);
        Tensor y = floats(rows, out);
        Tensor weight = weight(dtype, out, in);
        double flops = 2.0 * rows * in * out;
        double bytes = 4.0 * rows * (in + out) + bytes(weight);
        String shape = rows + "x" + out + "x" + in;
        String type = name(dtype);
        Products products = ops.products();
        time("linear " + type, shape, flops, bytes, () -> products.linearForward(x, null, weight, null, null, null, y));
        if (rows > 1) {
            time(
                    "linear backward " + type,
                    shape,
                    flops,
                    bytes,
                    () -> products.linearBackward(y, null, null, weight, null, null, null, x, null, false));
        }
    }

    private void adapted(int rows, int out, int in, int rank) {
        Tensor x = floats(rows, in);
        Tensor y = floats(rows, out);
        Tensor u = floats(rows, rank);
        Tensor weight = weight(DType.BF16, out, in);
        Products.Lora lora = new Products.Lora(floats(rank, in), floats(out, rank), null, null, 1);
        time(
                "linear with LoRA bfloat16",
                rows + "x" + out + "x" + in + " r" + rank,
                2.0 * rows * in * out + 2.0 * rows * rank * (in + out),
                4.0 * rows * (in + out + rank) + weight.bytes() + 4.0 * rank * (in + out),
                () -> ops.products().linearForward(x, null, weight, null, lora, u, y));
    }

    private void experts(int experts, int topK, int in, int out) {
        int rows = ROWS * topK;
        Tensor[] tensors = new Tensor[experts];
        int[] offsets = new int[experts + 1];
        for (int expert = 0; expert < experts; expert++) {
            tensors[expert] = weight(DType.BF16, out, in);
            // From half to one and a half times the mean, as routers do.
            double share = 0.5 + (expert * 7 % experts) / (double) (experts - 1);
            offsets[expert + 1] = offsets[expert] + (int) (share * rows / experts);
        }
        offsets[experts] = rows;
        Tensor tensorOffsets = Tensor.allocate(device, DType.I32, experts + 1);
        tensorOffsets.copyFrom(device, offsets);
        ExpertWeights weights = new ExpertWeights(device, tensors);
        Tensor x = floats(rows, in);
        Tensor y = floats(rows, out);
        double flops = 2.0 * rows * in * out;
        double bytes = 4.0 * rows * (in + out) + 2.0 * experts * in * out;
        String shape = experts + " x " + out + "x" + in + ", " + rows + " rows";
        Products products = ops.products();
        time(
                "experts bfloat16",
                shape,
                flops,
                bytes,
                () -> products.groupedLinearForward(x, null, tensorOffsets, weights, null, null, y));
        time(
                "experts backward bfloat16",
                shape,
                flops,
                bytes,
                () -> products.groupedLinearBackward(
                        y, null, null, tensorOffsets, weights, null, null, null, x, null, false));
    }

    private void attention(int sequences, int length, int heads, int keyHeads, int headDim) {
        int tokens = sequences * length;
        int[] offsets = new int[sequences + 1];
        for (int s = 0; s < sequences; s++) {
            offsets[s + 1] = offsets[s] + length;
        }
        Tensor tensorOffsets = Tensor.allocate(device, DType.I32, sequences + 1);
        tensorOffsets.copyFrom(device, offsets);
        Attentions.Geometry geometry = new Attentions.Geometry(
                tensorOffsets, tensorOffsets, heads, keyHeads, headDim, 0, (float) (1 / Math.sqrt(headDim)));
        Tensor q = floats(tokens, (long) heads * headDim);
        Tensor k = floats(tokens, (long) keyHeads * headDim);
        Tensor v = floats(tokens, (long) keyHeads * headDim);
        Tensor o = floats(tokens, (long) heads * headDim);
        Tensor lse = floats(tokens, heads);
        double pairs = (double) sequences * length * (length + 1) / 2 * heads;
        String shape = sequences + " x " + length + ", " + heads + "/" + keyHeads + " heads of " + headDim;
        Attentions attentions = ops.attentions();
        time(
                "attention",
                shape,
                pairs * 4 * headDim,
                2.0 * (q.bytes() + k.bytes()),
                () -> attentions.forward(geometry, q, k, v, o, lse));
        Tensor dO = floats(o.shape());
        Tensor delta = floats(lse.shape());
        Tensor dq = floats(q.shape());
        Tensor dk = floats(k.shape());
        Tensor dv = floats(v.shape());
        time(
                "attention backward",
                shape,
                pairs * 10 * headDim,
                4.0 * (q.bytes() + k.bytes()),
                () -> attentions.backward(geometry, q, k, v, o, lse, dO, delta, dq, dk, dv));
    }

    private void rows(int rows, int width) {
        Tensor x = floats(rows, width);
        Tensor residual = floats(rows, width);
        Tensor sum = floats(rows, width);
        Tensor y = floats(rows, width);
        Tensor rstd = floats(rows);
        Tensor weight = weight(DType.BF16, width);
        time(
                "RMSNorm with residual",
                rows + "x" + width,
                5.0 * x.size(),
                4.0 * x.bytes(),
                () -> ops.norms().rmsNormForward(x, residual, weight, sum, y, rstd, 1e-6f));
    }

    private void gated(int n) {
        Tensor gate = floats(n);
        Tensor up = floats(n);
        Tensor y = floats(n);
        time("SwiGLU", "" + n, 4.0 * n, 12.0 * n, () -> ops.elementwise().gatedForward(Activation.SILU, gate, up, y));
    }

    private void loss(int rows, int vocabulary) {
        Tensor logits = floats(rows, vocabulary);
        Tensor labels = Tensor.allocate(device, DType.I32, rows);
        labels.copyFrom(device, random.ints(rows, 0, vocabulary).toArray());
        Tensor losses = floats(rows);
        double n = logits.size();
        time(
                "cross-entropy",
                rows + "x" + vocabulary,
                5 * n,
                8 * n,
                () -> ops.losses().crossEntropy(logits, labels, losses, 1, true));
    }

    private void adamW(int n) {
        Tensor parameters = floats(n);
        Tensor gradients = floats(n);
        Tensor first = Tensor.allocate(device, DType.F32, n);
        Tensor second = Tensor.allocate(device, DType.F32, n);
        Losses.AdamW step = new Losses.AdamW(null, 10, 1e-4, 0.9, 0.999, 1e-8, 0);
        time("AdamW", "" + n, 14.0 * n, 28.0 * n, () -> ops.losses().adamW(parameters, gradients, first, second, step));
    }
}
