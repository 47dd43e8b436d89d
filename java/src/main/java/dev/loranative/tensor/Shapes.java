package dev.loranative.tensor;

import java.util.Arrays;

/** Checks that name the argument, what it is and what it should be. */
final class Shapes {

    private Shapes() {}

    static void expect(String name, Tensor tensor, DType dtype, long... shape) {
        if (tensor.dtype() != dtype || !tensor.hasShape(shape)) {
            throw new IllegalArgumentException(name + " is " + tensor + ", must be " + dtype + Arrays.toString(shape));
        }
    }

    static void expectFloats(String name, Tensor tensor, long... shape) {
        expect(name, tensor, DType.F32, shape);
    }

    static void expectInts(String name, Tensor tensor, long... shape) {
        expect(name, tensor, DType.I32, shape);
    }

    /** Any shape with that many float32 elements. */
    static void expectElements(String name, Tensor tensor, long elements) {
        if (tensor.dtype() != DType.F32 || tensor.size() != elements) {
            throw new IllegalArgumentException(
                    name + " is " + tensor + ", must have " + elements + " " + DType.F32 + " elements");
        }
    }

    /** An argument that may be left out. */
    static void expectFloatsOrNull(String name, Tensor tensor, long... shape) {
        if (tensor != null) {
            expectFloats(name, tensor, shape);
        }
    }

    static void expectWeight(String name, Tensor tensor, long... shape) {
        tensor.dtype().code();
        if (!tensor.hasShape(shape)) {
            throw new IllegalArgumentException(name + " is " + tensor + ", must be " + Arrays.toString(shape));
        }
    }
}
