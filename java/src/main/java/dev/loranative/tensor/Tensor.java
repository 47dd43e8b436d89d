package dev.loranative.tensor;

import dev.loranative.device.Buffer;
import dev.loranative.device.Device;
import dev.loranative.ffi.Structs;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** A row-major array in device memory. Views share their buffer; a 4-bit weight has none. */
public final class Tensor {

    private final Buffer buffer;
    private final long offset;
    private final DType dtype;
    private final long[] shape;

    public Tensor(Buffer buffer, long offset, DType dtype, long... shape) {
        this.buffer = buffer;
        this.offset = offset;
        this.dtype = dtype;
        this.shape = shape.clone();
        if (offset < 0 || offset + bytes() > buffer.bytes()) {
            throw new IllegalArgumentException(
                    "tensor " + this + " at byte " + offset + " does not fit a buffer of " + buffer.bytes() + " bytes");
        }
    }

    /** New zeroed memory of the device. */
    public static Tensor allocate(Device device, DType dtype, long... shape) {
        return new Tensor(device.allocate(count(shape) * dtype.bytes()), 0, dtype, shape);
    }

    /** A device array that holds the addresses of tensors, 0 for null: the tables that grouped products take. */
    public static Tensor addresses(Device device, Tensor[] tensors) {
        long[] addresses = new long[tensors.length];
        for (int i = 0; i < tensors.length; i++) {
            addresses[i] = tensors[i] == null ? 0 : tensors[i].address();
        }
        Tensor table = allocate(device, DType.I64, tensors.length);
        table.copyFrom(device, MemorySegment.ofArray(addresses));
        return table;
    }

    public DType dtype() {
        return dtype;
    }

    public int rank() {
        return shape.length;
    }

    public long dimension(int index) {
        return shape[index];
    }

    public long[] shape() {
        return shape.clone();
    }

    public boolean hasShape(long... expected) {
        return Arrays.equals(shape, expected);
    }

    /** Number of elements. */
    public long size() {
        return count(shape);
    }

    /** Bytes at {@link #address}: the elements, or the {@code ln_quantized} of a 4-bit weight. */
    public long bytes() {
        return dtype.isQuantized() ? Structs.QUANTIZED.bytes() : size() * dtype.bytes();
    }

    public long address() {
        return buffer.address(offset, bytes());
    }

    /** The same memory in another shape with as many elements. */
    public Tensor reshape(long... newShape) {
        requireDense();
        if (count(newShape) != size()) {
            throw new IllegalArgumentException(this + " has " + size() + " elements, not " + count(newShape));
        }
        return new Tensor(buffer, offset, dtype, newShape);
    }

    /** Rows [first, first + rows) of the first dimension. */
    public Tensor rows(long first, long rows) {
        requireDense();
        if (first < 0 || rows < 0 || first + rows > shape[0]) {
            throw new IllegalArgumentException("rows " + first + " + " + rows + " are outside " + this);
        }
        long[] view = shape.clone();
        view[0] = rows;
        long rowBytes = shape[0] == 0 ? 0 : bytes() / shape[0];
        return new Tensor(buffer, offset + first * rowBytes, dtype, view);
    }

    /** Elements [first, first + count) of the flattened tensor. */
    public Tensor range(long first, long count) {
        requireDense();
        if (first < 0 || count < 0 || first + count > size()) {
            throw new IllegalArgumentException("elements " + first + " + " + count + " are outside " + this);
        }
        return new Tensor(buffer, offset + first * dtype.bytes(), dtype, count);
    }

    public void copyFrom(Device device, float[] values) {
        requireHost(DType.F32, values.length);
        copyFrom(device, MemorySegment.ofArray(values));
    }

    public void copyFrom(Device device, int[] values) {
        requireHost(DType.I32, values.length);
        copyFrom(device, MemorySegment.ofArray(values));
    }

    public void copyFrom(Device device, byte[] values) {
        requireHost(DType.U8, values.length);
        copyFrom(device, MemorySegment.ofArray(values));
    }

    /** Raw bytes, exactly {@link #bytes()} of them. */
    public void copyFrom(Device device, MemorySegment host) {
        if (host.byteSize() != bytes()) {
            throw new IllegalArgumentException(host.byteSize() + " bytes cannot fill " + this);
        }
        device.copyFromHost(host, buffer, offset);
    }

    /** Raw bytes, exactly {@link #bytes()} of them. */
    public void copyTo(Device device, MemorySegment host) {
        if (host.byteSize() != bytes()) {
            throw new IllegalArgumentException(this + " does not fill " + host.byteSize() + " bytes");
        }
        device.copyToHost(buffer, offset, host);
    }

    public float[] toFloats(Device device) {
        float[] values = new float[Math.toIntExact(size())];
        requireHost(DType.F32, values.length);
        device.copyToHost(buffer, offset, MemorySegment.ofArray(values));
        return values;
    }

    public byte[] toBytes(Device device) {
        byte[] values = new byte[Math.toIntExact(size())];
        requireHost(DType.U8, values.length);
        device.copyToHost(buffer, offset, MemorySegment.ofArray(values));
        return values;
    }

    public int[] toInts(Device device) {
        int[] values = new int[Math.toIntExact(size())];
        requireHost(DType.I32, values.length);
        device.copyToHost(buffer, offset, MemorySegment.ofArray(values));
        return values;
    }

    public long[] toLongs(Device device) {
        long[] values = new long[Math.toIntExact(size())];
        requireHost(DType.I64, values.length);
        device.copyToHost(buffer, offset, MemorySegment.ofArray(values));
        return values;
    }

    public double[] toDoubles(Device device) {
        double[] values = new double[Math.toIntExact(size())];
        requireHost(DType.F64, values.length);
        device.copyToHost(buffer, offset, MemorySegment.ofArray(values));
        return values;
    }

    public void clear(Device device) {
        device.clear(buffer, offset, bytes());
    }

    private void requireDense() {
        if (dtype.isQuantized()) {
            throw new IllegalStateException(this + " has no views; dequantise what is needed");
        }
    }

    private void requireHost(DType expected, long elements) {
        if (dtype != expected || size() != elements) {
            throw new IllegalArgumentException(elements + " " + expected + " values do not match " + this);
        }
    }

    private static long count(long[] shape) {
        long count = 1;
        for (long dimension : shape) {
            if (dimension < 0) {
                throw new IllegalArgumentException("negative dimension in " + Arrays.toString(shape));
            }
            count = Math.multiplyExact(count, dimension);
        }
        return count;
    }

    @Override
    public String toString() {
        return dtype + Arrays.toString(shape);
    }
}
