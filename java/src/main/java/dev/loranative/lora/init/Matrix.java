package dev.loranative.lora.init;

import dev.loranative.random.CounterRandom;
import java.util.stream.IntStream;

/**
 * A dense matrix in float64. Every element of a product is summed by one thread in rising order, so results do not depend
 * on the number of threads.
 *
 * @param values [rows, columns], row major; not copied
 */
public record Matrix(int rows, int columns, double[] values) implements LinearMap {

    public Matrix {
        if (values.length != Math.multiplyExact(rows, columns)) {
            throw new IllegalArgumentException(values.length + " numbers are no [" + rows + ", " + columns + "]");
        }
    }

    public static Matrix zeros(int rows, int columns) {
        return new Matrix(rows, columns, new double[Math.multiplyExact(rows, columns)]);
    }

    public static Matrix of(int rows, int columns, float[] values) {
        double[] wide = new double[values.length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = values[i];
        }
        return new Matrix(rows, columns, wide);
    }

    /** Independent normal elements with deviation 1. */
    public static Matrix normal(int rows, int columns, CounterRandom random) {
        Matrix matrix = zeros(rows, columns);
        for (int i = 0; i < matrix.values.length; i++) {
            double radius = Math.sqrt(-2 * Math.log(1 - random.uniform(2L * i)));
            matrix.values[i] = radius * Math.cos(2 * Math.PI * random.uniform(2L * i + 1));
        }
        return matrix;
    }

    public double get(int row, int column) {
        return values[row * columns + column];
    }

    @Override
    public Matrix times(Matrix x) {
        requireSame(columns, x.rows);
        Matrix product = zeros(rows, x.columns);
        IntStream.range(0, rows).parallel().forEach(i -> {
            for (int k = 0; k < columns; k++) {
                addScaled(values[i * columns + k], x.values, k * x.columns, product.values, i * x.columns, x.columns);
            }
        });
        return product;
    }

    @Override
    public Matrix transposedTimes(Matrix y) {
        return transposed().times(y);
    }

    private static void addScaled(double factor, double[] from, int at, double[] to, int start, int count) {
        for (int j = 0; j < count; j++) {
            to[start + j] += factor * from[at + j];
        }
    }

    @Override
    public Matrix whole() {
        return this;
    }

    public Matrix transposed() {
        Matrix turned = zeros(columns, rows);
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                turned.values[j * rows + i] = values[i * columns + j];
            }
        }
        return turned;
    }

    public Matrix minus(Matrix other) {
        requireSame(rows, other.rows);
        requireSame(columns, other.columns);
        Matrix difference = zeros(rows, columns);
        for (int i = 0; i < values.length; i++) {
            difference.values[i] = values[i] - other.values[i];
        }
        return difference;
    }

    public Matrix times(double factor) {
        Matrix scaled = zeros(rows, columns);
        for (int i = 0; i < values.length; i++) {
            scaled.values[i] = factor * values[i];
        }
        return scaled;
    }

    /** Column j multiplied by factors[j]. */
    public Matrix timesColumns(double[] factors) {
        requireSame(columns, factors.length);
        Matrix scaled = zeros(rows, columns);
        for (int i = 0; i < values.length; i++) {
            scaled.values[i] = factors[i % columns] * values[i];
        }
        return scaled;
    }

    /** Columns [0, count). */
    public Matrix firstColumns(int count) {
        Matrix part = zeros(rows, count);
        for (int i = 0; i < rows; i++) {
            System.arraycopy(values, i * columns, part.values, i * count, count);
        }
        return part;
    }

    /** Every second row, from the first or the second on. */
    Matrix everySecondRow(int first) {
        Matrix part = zeros((rows - first + 1) / 2, columns);
        for (int i = 0; i < part.rows; i++) {
            System.arraycopy(values, (first + 2 * i) * columns, part.values, i * columns, columns);
        }
        return part;
    }

    public float[] toFloats() {
        float[] narrow = new float[values.length];
        for (int i = 0; i < narrow.length; i++) {
            narrow[i] = (float) values[i];
        }
        return narrow;
    }

    private static void requireSame(int expected, int actual) {
        if (expected != actual) {
            throw new IllegalArgumentException("sizes " + expected + " and " + actual + " do not fit");
        }
    }
}
