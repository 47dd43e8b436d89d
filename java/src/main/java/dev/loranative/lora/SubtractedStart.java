package dev.loranative.lora;

import dev.loranative.device.Device;
import dev.loranative.nn.FrozenUpdate;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;
import java.util.Arrays;

/**
 * First values of an update that were taken out of the base, so that training starts from the unchanged model: with W the
 * base's weight the layer has {@code W - scaling · b · a + scaling · B · A}. PEFT changes W and rounds it to its type; here
 * it stays, and the difference is kept as what it is. In a file both updates are one of twice the rank, for the base as
 * everybody has it.
 *
 * @param a [r, in]; the array is not copied
 * @param b [out, r]; the array is not copied
 * @param scaleOfAlpha what alpha is multiplied by when the rank doubles and the scaling stays
 */
record SubtractedStart(float[] a, float[] b, double scaleOfAlpha) {

    /** The two updates as one: {@code [A; a]} and {@code [B, -b]}. */
    AdapterModule withTrained(AdapterModule trained) {
        int r = trained.r();
        int rows = trained.b().length / r;
        float[] wideA = Arrays.copyOf(trained.a(), 2 * a.length);
        System.arraycopy(a, 0, wideA, a.length, a.length);
        float[] wideB = new float[2 * b.length];
        for (int row = 0; row < rows; row++) {
            System.arraycopy(trained.b(), row * r, wideB, 2 * row * r, r);
            for (int k = 0; k < r; k++) {
                wideB[(2 * row + 1) * r + k] = -b[row * r + k];
            }
        }
        return new AdapterModule(
                trained.module(),
                trained.name(),
                2 * r,
                scaleOfAlpha * trained.alpha(),
                trained.scaling(),
                wideA,
                wideB,
                trained.bias(),
                trained.magnitude());
    }

    /** The start in what {@link #withTrained} made. */
    static SubtractedStart of(AdapterModule both, double scaleOfAlpha) {
        float[] b = half(both, 1);
        for (int i = 0; i < b.length; i++) {
            b[i] = -b[i];
        }
        return new SubtractedStart(Arrays.copyOfRange(both.a(), both.a().length / 2, both.a().length), b, scaleOfAlpha);
    }

    /** The trained part of what {@link #withTrained} made. */
    static AdapterModule trained(AdapterModule both, double scaleOfAlpha) {
        return new AdapterModule(
                both.module(),
                both.name(),
                both.r() / 2,
                both.alpha() / scaleOfAlpha,
                both.scaling(),
                Arrays.copyOf(both.a(), both.a().length / 2),
                half(both, 0),
                both.bias(),
                both.magnitude());
    }

    private static float[] half(AdapterModule both, int which) {
        int r = both.r() / 2;
        float[] b = new float[both.b().length / 2];
        for (int row = 0; row < b.length / r; row++) {
            System.arraycopy(both.b(), (2 * row + which) * r, b, row * r, r);
        }
        return b;
    }

    /**
     * On the device.
     *
     * @param r rank there, at least that of the values: what is beyond is zero
     */
    FrozenUpdate on(Device device, AdapterModuleSize size, int r) {
        Tensor down = Tensor.allocate(device, DType.F32, r, size.in());
        Tensor up = Tensor.allocate(device, DType.F32, size.out(), r);
        down.copyFrom(device, Arrays.copyOf(a, Math.toIntExact(down.size())));
        float[] negative = new float[Math.toIntExact(up.size())];
        for (int i = 0; i < b.length; i++) {
            negative[i / size.r() * r + i % size.r()] = (float) (-size.scaling() * b[i]);
        }
        up.copyFrom(device, negative);
        return new FrozenUpdate(down, up);
    }

    /** Of the module that the start belongs to. */
    record AdapterModuleSize(long in, long out, int r, double scaling) {}
}
