package dev.loranative.quant;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.device.Buffer;
import dev.loranative.device.Loan;
import dev.loranative.errors.UserException;
import dev.loranative.ffi.KernelException;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.QuantizedParts;
import dev.loranative.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;
import java.util.function.LongFunction;

/**
 * Quantises weights as bitsandbytes does, bit for bit (QLoRA, Dettmers et al. 2023, arXiv:2305.14314). A weight is read in
 * pieces, each of which gives its memory back before the next comes: besides the result no more than a piece is held.
 */
public final class Quantizer {

    /** Elements of a piece: a multiple of every block, enough for all threads. */
    public static final long PIECE = 4L << 20;

    private final Ops ops;
    private final QuantType type;
    private final int blockSize;
    private final boolean nested;
    private final Tensor nestedCode;

    /** @param doubleQuantization whether the scales are quantised in turn */
    public Quantizer(Ops ops, QuantType type, int blockSize, boolean doubleQuantization) {
        this.ops = ops;
        this.type = type;
        this.blockSize = blockSize;
        this.nested = doubleQuantization;
        this.nestedCode = doubleQuantization ? Tensor.allocate(ops.device(), DType.F32, DynamicMap.SIZE) : null;
        if (doubleQuantization) {
            nestedCode.copyFrom(ops.device(), DynamicMap.signed());
        }
    }

    /**
     * A weight to quantise.
     *
     * @param name for messages
     * @param data its elements, row major
     * @param dtype F32, BF16 or F16
     * @param shape [out, in]
     */
    public record Source(String name, MemorySegment data, DType dtype, List<Long> shape) {}

    /** Bytes that a quantised weight of that many elements takes on a device, its descriptor included. */
    public static long bytes(long elements, int blockSize, boolean doubleQuantization) {
        long blocks = QuantState.ceil(elements, blockSize);
        long scales = doubleQuantization
                ? blocks + Float.BYTES * QuantState.ceil(blocks, QuantState.NESTED_BLOCK)
                : Float.BYTES * blocks;
        return QuantState.codeBytes(elements) + scales + QuantizedParts.DESCRIPTOR_BYTES;
    }

    /** A weight that is on the device, a piece at a time. */
    @FunctionalInterface
    public interface Pieces {

        /**
         * Elements [first, first + count), F32, BF16 or F16; they are read before the next piece is asked for.
         *
         * @param count at most {@link #PIECE}
         */
        Tensor piece(long first, long count);
    }

    /** Quantises one piece. */
    @FunctionalInterface
    private interface PieceWork {
        void quantize(Tensor piece);
    }

    /** Gives a piece to the work, and takes back the memory it needed. */
    @FunctionalInterface
    private interface PieceReader {
        void read(long first, long count, PieceWork work);
    }

    /**
     * Quantises one weight.
     *
     * @param memory gives the memory that the result lies in
     * @throws UserException if an element is no finite number, or the scales are too large to be quantised
     */
    public QuantizedWeight quantize(Source source, LongFunction<Buffer> memory) {
        QuantState plain = new QuantState(type, blockSize, name(source.dtype()), source.shape(), Optional.empty());
        return quantize(source.name(), plain, (first, count, work) -> read(source, first, count, work), memory);
    }

    /**
     * Quantises a weight of finite numbers that are on the device.
     *
     * @param name for messages
     * @param shape [out, in]
     * @param memory gives the memory that the result lies in
     */
    public QuantizedWeight quantize(String name, List<Long> shape, Pieces pieces, LongFunction<Buffer> memory) {
        QuantState plain = new QuantState(type, blockSize, name(DType.BF16), shape, Optional.empty());
        return quantize(name, plain, (first, count, work) -> work.quantize(pieces.piece(first, count)), memory);
    }

    private QuantizedWeight quantize(String name, QuantState plain, PieceReader reader, LongFunction<Buffer> memory) {
        Tensor codes = tensor(memory, DType.U8, plain.codeBytes());
        if (!nested) {
            Tensor absmax = tensor(memory, DType.F32, plain.blocks());
            quantize(reader, plain, codes, absmax);
            return new QuantizedWeight(
                    plain, new QuantizedParts(codes, absmax, null, null, blockSize, QuantState.NESTED_BLOCK, 0));
        }
        try (Loan loan = ops.device().borrow(Float.BYTES * plain.blocks())) {
            Tensor absmax = new Tensor(loan.buffer(), 0, DType.F32, plain.blocks());
            quantize(reader, plain, codes, absmax);
            return nest(name, plain, codes, absmax, memory);
        }
    }

    private QuantizedWeight nest(
            String name, QuantState plain, Tensor codes, Tensor absmax, LongFunction<Buffer> memory) {
        Tensor absmaxCodes = tensor(memory, DType.U8, plain.blocks());
        Tensor nestedAbsmax = tensor(memory, DType.F32, plain.nestedBlocks());
        float offset;
        try {
            offset = ops.quantization()
                    .quantizeAbsmax(absmax, QuantState.NESTED_BLOCK, nestedCode, absmaxCodes, nestedAbsmax);
        } catch (KernelException e) {
            // The scales are finite and the table is ours: what is left to refuse is a mean that overflows.
            throw UserException.badInput(
                    "tensor " + name + " is too large for double quantisation (" + e.getMessage() + ")",
                    "set bnb_4bit_use_double_quant to false, or name the module in bnb_4bit_skip_modules");
        }
        QuantState state = new QuantState(
                type,
                blockSize,
                plain.dtype(),
                plain.shape(),
                Optional.of(new QuantState.Nested(QuantState.NESTED_BLOCK, offset)));
        return new QuantizedWeight(
                state,
                new QuantizedParts(
                        codes, absmaxCodes, nestedAbsmax, nestedCode, blockSize, QuantState.NESTED_BLOCK, offset));
    }

    private void quantize(PieceReader reader, QuantState state, Tensor codes, Tensor absmax) {
        for (long start = 0; start < state.elements(); start += PIECE) {
            long first = start;
            long count = Math.min(PIECE, state.elements() - first);
            reader.read(
                    first,
                    count,
                    piece -> ops.quantization()
                            .quantize(
                                    piece,
                                    type.dtype(),
                                    blockSize,
                                    codes.range(first / 2, QuantState.codeBytes(count)),
                                    absmax.range(first / blockSize, QuantState.ceil(count, blockSize))));
        }
    }

    private void read(Source source, long first, long count, PieceWork work) {
        long elementBytes = source.dtype().bytes();
        MemorySegment piece = source.data().asSlice(first * elementBytes, count * elementBytes);
        try (Loan loan = ops.device().lend(piece, elementBytes)) {
            work.quantize(new Tensor(loan.buffer(), 0, source.dtype(), count));
        } catch (KernelException e) {
            throw refused(source, first, piece, e);
        }
        Checkpoint.release(piece);
    }

    /** The kernel refuses what is no finite number; here it is found again, to be named. */
    private static UserException refused(Source source, long first, MemorySegment piece, KernelException e) {
        FloatReader reader = new FloatReader(source.dtype(), piece);
        for (long i = 0; i < reader.size(); i++) {
            float value = reader.get(i);
            if (!Float.isFinite(value)) {
                long columns = source.shape().getLast();
                return UserException.badInput(
                        "tensor " + source.name() + " cannot be quantised: it holds " + value + " at ["
                                + (first + i) / columns + ", " + (first + i) % columns + "]",
                        "the weights are broken; use another copy of the model");
            }
        }
        throw e;
    }

    private static Tensor tensor(LongFunction<Buffer> memory, DType type, long count) {
        return new Tensor(memory.apply(count * type.bytes()), 0, type, count);
    }

    private static String name(DType dtype) {
        return switch (dtype) {
            case F32 -> "float32";
            case BF16 -> "bfloat16";
            case F16 -> "float16";
            default -> throw new IllegalArgumentException(dtype + " cannot be quantised");
        };
    }
}
