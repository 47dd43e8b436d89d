package dev.loranative.tensor.cases;

/** Matrices in double, row-major: the plain arithmetic that laws compare kernels with. */
public record Matrix(int rows, int columns, double[] values) {

    public static Matrix of(float[] values, int rows, int columns) {
        return new Matrix(rows, columns, doubles(values));
    }

    public static double[] doubles(float[] values) {
        double[] doubles = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            doubles[i] = values[i];
        }
        return doubles;
    }

    public static Matrix zeros(int rows, int columns) {
        return new Matrix(rows, columns, new double[rows * columns]);
    }

    public double at(int row, int column) {
        return values[row * columns + column];
    }

    public Matrix transpose() {
        double[] result = new double[values.length];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                result[column * rows + row] = at(row, column);
            }
        }
        return new Matrix(columns, rows, result);
    }

    public Matrix times(Matrix other) {
        if (columns != other.rows) {
            throw new IllegalArgumentException(columns + " columns times " + other.rows + " rows");
        }
        double[] result = new double[rows * other.columns];
        for (int row = 0; row < rows; row++) {
            int start = row * other.columns;
            for (int k = 0; k < columns; k++) {
                double factor = at(row, k);
                int from = k * other.columns;
                // Along a row of memory: a column of large matrices is one miss of the cache after the other.
                for (int column = 0; column < other.columns; column++) {
                    result[start + column] += factor * other.values[from + column];
                }
            }
        }
        return new Matrix(rows, other.columns, result);
    }

    public Matrix times(double factor) {
        double[] result = values.clone();
        for (int i = 0; i < result.length; i++) {
            result[i] *= factor;
        }
        return new Matrix(rows, columns, result);
    }

    public Matrix plus(Matrix other) {
        double[] result = values.clone();
        for (int i = 0; i < result.length; i++) {
            result[i] += other.values[i];
        }
        return new Matrix(rows, columns, result);
    }

    /** The same row added to every row. */
    public Matrix plusRow(double[] row) {
        double[] result = values.clone();
        for (int i = 0; i < result.length; i++) {
            result[i] += row[i % columns];
        }
        return new Matrix(rows, columns, result);
    }

    public Matrix part(int firstRow, int count) {
        return new Matrix(
                count, columns, java.util.Arrays.copyOfRange(values, firstRow * columns, (firstRow + count) * columns));
    }

    public void put(int firstRow, Matrix part) {
        System.arraycopy(part.values, 0, values, firstRow * columns, part.values.length);
    }
}
