package dev.loranative.lora.init;

import java.util.stream.IntStream;

/**
 * The thin QR decomposition by Householder reflections, with the signs of LAPACK.
 *
 * @param q [m, n], orthonormal columns
 * @param r [n, n], upper triangular
 */
public record Qr(Matrix q, Matrix r) {

    /** @param matrix [m, n] with m at least n */
    public static Qr of(Matrix matrix) {
        int m = matrix.rows();
        int n = matrix.columns();
        if (m < n) {
            throw new IllegalArgumentException("[" + m + ", " + n + "] has fewer rows than columns");
        }
        // Columns as rows: a reflection runs along memory.
        Matrix work = matrix.transposed();
        double[][] reflections = new double[n][];
        double[] diagonal = new double[n];
        for (int k = 0; k < n; k++) {
            double[] reflection = reflection(work, k);
            diagonal[k] = reflection == null ? work.get(k, k) : diagonal(work, k);
            reflections[k] = reflection;
            if (reflection != null) {
                int from = k;
                IntStream.range(k + 1, n).parallel().forEach(j -> reflect(reflection, from, work, j));
            }
        }
        Matrix r = Matrix.zeros(n, n);
        for (int i = 0; i < n; i++) {
            r.values()[i * n + i] = diagonal[i];
            for (int j = i + 1; j < n; j++) {
                r.values()[i * n + j] = work.get(j, i);
            }
        }
        Matrix turned = Matrix.zeros(n, m);
        for (int j = 0; j < n; j++) {
            turned.values()[j * m + j] = 1;
        }
        for (int k = n - 1; k >= 0; k--) {
            double[] reflection = reflections[k];
            int from = k;
            if (reflection != null) {
                IntStream.range(k, n).parallel().forEach(j -> reflect(reflection, from, turned, j));
            }
        }
        return new Qr(turned.transposed(), r);
    }

    /** -sign(x[k]) |x[k..]| of column k: what the reflection turns it into. */
    private static double diagonal(Matrix columns, int k) {
        double norm = norm(columns, k);
        return columns.get(k, k) >= 0 ? -norm : norm;
    }

    private static double norm(Matrix columns, int k) {
        double squares = 0;
        for (int i = k; i < columns.columns(); i++) {
            squares += columns.get(k, i) * columns.get(k, i);
        }
        return Math.sqrt(squares);
    }

    /** The unit vector v of I - 2 v vᵀ for rows k.. of column k; null where the column is zero there. */
    private static double[] reflection(Matrix columns, int k) {
        int m = columns.columns();
        if (norm(columns, k) == 0) {
            return null;
        }
        double[] v = new double[m - k];
        System.arraycopy(columns.values(), k * m + k, v, 0, v.length);
        v[0] -= diagonal(columns, k);
        double squares = 0;
        for (double value : v) {
            squares += value * value;
        }
        double length = Math.sqrt(squares);
        for (int i = 0; i < v.length; i++) {
            v[i] /= length;
        }
        return v;
    }

    private static void reflect(double[] v, int from, Matrix columns, int column) {
        double[] values = columns.values();
        int start = column * columns.columns() + from;
        double dot = 0;
        for (int i = 0; i < v.length; i++) {
            dot += v[i] * values[start + i];
        }
        for (int i = 0; i < v.length; i++) {
            values[start + i] -= 2 * dot * v[i];
        }
    }
}
