package dev.loranative.lora.init;

/** A matrix of which only products are asked for, so that it need not be held as a whole. */
public interface LinearMap {

    int rows();

    int columns();

    /**
     * This . x.
     *
     * @param x [columns, k]
     * @return [rows, k]
     */
    Matrix times(Matrix x);

    /**
     * This transposed . y.
     *
     * @param y [rows, k]
     * @return [columns, k]
     */
    Matrix transposedTimes(Matrix y);

    /** All its elements. */
    Matrix whole();
}
