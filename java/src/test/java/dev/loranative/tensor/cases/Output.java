package dev.loranative.tensor.cases;

import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;
import java.util.Arrays;
import java.util.Optional;

/**
 * What one call must leave in a tensor: each element within {@code tolerance * (1 + |expected|)}; 0 asks for equality.
 *
 * @param expected by plain double arithmetic; for integers exact
 */
public record Output(String name, Tensor tensor, double[] expected, double tolerance) {

    /** Sums of a few products of ordinary size in float32. */
    private static final double ORDINARY = 1e-5;

    static Output close(String name, Tensor tensor, double[] expected, double tolerance) {
        return new Output(name, tensor, expected, tolerance);
    }

    static Output close(String name, Tensor tensor, double[] expected) {
        return close(name, tensor, expected, ORDINARY);
    }

    static Output equal(String name, Tensor tensor, float[] expected) {
        return new Output(name, tensor, Matrix.doubles(expected), 0);
    }

    /** Bytes are numbers from 0 to 255. */
    static Output equal(String name, Tensor tensor, byte[] expected) {
        return new Output(name, tensor, unsigned(expected), 0);
    }

    static Output equal(String name, Tensor tensor, int[] expected) {
        return new Output(name, tensor, Arrays.stream(expected).asDoubleStream().toArray(), 0);
    }

    private static double[] unsigned(byte[] bytes) {
        double[] values = new double[bytes.length];
        for (int i = 0; i < bytes.length; i++) {
            values[i] = Byte.toUnsignedInt(bytes[i]);
        }
        return values;
    }

    /** The first element that is wrong, in words; empty if none is. */
    public Optional<String> mismatch(Device device) {
        double[] actual = values(device);
        if (actual.length != expected.length) {
            return Optional.of(name + " has " + actual.length + " elements instead of " + expected.length);
        }
        for (int i = 0; i < actual.length; i++) {
            double allowed = tolerance * (1 + Math.abs(expected[i]));
            // Written so that NaN and infinities, for which differences mean nothing, are wrong unless equal.
            if (!(Math.abs(actual[i] - expected[i]) <= allowed) && actual[i] != expected[i]) {
                return Optional.of(
                        name + "[" + i + "] is " + actual[i] + ", expected " + expected[i] + " within " + allowed);
            }
        }
        return Optional.empty();
    }

    /**
     * How far all elements together are from what is expected, in words; empty if within {@code most} of its norm. For
     * arithmetic that rounds operands, which moves single elements near 0 by more than they are. Equality, where it is
     * asked for, stays asked for.
     */
    public Optional<String> mismatchInNorm(Device device, double most) {
        if (tolerance == 0) {
            return mismatch(device);
        }
        double[] actual = values(device);
        double squares = 0;
        double size = 0;
        for (int i = 0; i < expected.length; i++) {
            // Infinities are what masks leave.
            if (actual[i] != expected[i]) {
                squares += (actual[i] - expected[i]) * (actual[i] - expected[i]);
                size += expected[i] * expected[i];
            }
        }
        double distance = Math.sqrt(squares);
        return distance <= most * Math.sqrt(size) + tolerance
                ? Optional.empty()
                : Optional.of(name + " is " + distance + " from what is expected, whose norm is " + Math.sqrt(size));
    }

    /** The numbers as they are, exactly: {@code Arrays.equals} of two tells whether the bytes are the same. */
    public double[] values(Device device) {
        return switch (tensor.dtype()) {
            case F32 -> Matrix.doubles(tensor.toFloats(device));
            case F64 -> tensor.toDoubles(device);
            case I32 -> Arrays.stream(tensor.toInts(device)).asDoubleStream().toArray();
            case I64 -> Arrays.stream(tensor.toLongs(device)).asDoubleStream().toArray();
            case U8 -> unsigned(tensor.toBytes(device));
            default -> throw new IllegalStateException(name + " is " + tensor.dtype() + ": cast it to " + DType.F32);
        };
    }
}
