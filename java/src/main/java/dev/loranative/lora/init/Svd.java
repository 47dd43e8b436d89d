package dev.loranative.lora.init;

import dev.loranative.random.CounterRandom;
import java.util.Arrays;
import java.util.Comparator;

/**
 * A singular value decomposition, or its largest part: {@code u . diag(s) . vᵀ}.
 *
 * @param u [rows, k]
 * @param s [k], falling
 * @param v [columns, k]
 */
public record Svd(Matrix u, double[] s, Matrix v) {

    /** Up to this size of the smaller side everything is decomposed, and what is not wanted dropped. */
    private static final int SMALL = 192;

    private static final int MOST_SWEEPS = 60;
    private static final double ORTHOGONAL = 1e-15;
    private static final int MOST_ITERATIONS = 100;
    private static final double SETTLED = 1e-11;

    /** All of it, by one-sided Jacobi rotations (Hestenes 1958) of the smaller side after a QR decomposition. */
    public static Svd exact(Matrix matrix) {
        if (matrix.rows() < matrix.columns()) {
            Svd turned = exact(matrix.transposed());
            return new Svd(turned.v, turned.s, turned.u);
        }
        Qr qr = Qr.of(matrix);
        Svd core = jacobi(qr.r());
        return new Svd(qr.q().times(core.u), core.s, core.v);
    }

    /**
     * The r largest singular values and their vectors: exactly for small matrices, else by subspace iteration (Halko,
     * Martinsson and Tropp 2011, arXiv:0909.4061) until the values settle.
     */
    public static Svd truncated(LinearMap map, int r, CounterRandom random) {
        int smaller = Math.min(map.rows(), map.columns());
        if (smaller <= SMALL || 3 * r >= smaller) {
            return exact(map.whole()).first(r);
        }
        int width = Math.min(smaller, 2 * r + 16);
        Matrix q = orthonormal(map.times(Matrix.normal(map.columns(), width, random)));
        double[] before = new double[r];
        for (int i = 0; i < MOST_ITERATIONS; i++) {
            Qr turned = Qr.of(map.transposedTimes(q));
            double[] values = jacobi(turned.r()).s;
            double change = 0;
            for (int k = 0; k < r; k++) {
                change = Math.max(change, Math.abs(values[k] - before[k]));
                before[k] = values[k];
            }
            q = orthonormal(map.times(turned.q()));
            if (change <= SETTLED * values[0]) {
                break;
            }
        }
        return projected(map, q).first(r);
    }

    /** As torch.svd_lowrank(q=r, niter=iterations): so many subspace iterations from random vectors, whatever they reach. */
    public static Svd iterated(LinearMap map, int r, int iterations, CounterRandom random) {
        Matrix q = orthonormal(map.times(Matrix.normal(map.columns(), r, random)));
        for (int i = 0; i < iterations; i++) {
            q = orthonormal(map.times(orthonormal(map.transposedTimes(q))));
        }
        return projected(map, q);
    }

    /** The decomposition of q . qᵀ . map. */
    private static Svd projected(LinearMap map, Matrix q) {
        Svd turned = exact(map.transposedTimes(q)); // [columns, width]
        return new Svd(q.times(turned.v), turned.s, turned.u);
    }

    private static Matrix orthonormal(Matrix matrix) {
        return Qr.of(matrix).q();
    }

    private Svd first(int r) {
        return new Svd(u.firstColumns(r), Arrays.copyOf(s, r), v.firstColumns(r));
    }

    /** Rotates pairs of columns until all are orthogonal: their lengths are the singular values. */
    private static Svd jacobi(Matrix square) {
        int n = square.rows();
        double[] columns = square.transposed().values();
        double[] turns = new double[n * n];
        for (int i = 0; i < n; i++) {
            turns[i * n + i] = 1;
        }
        boolean rotated = true;
        for (int sweep = 0; rotated && sweep < MOST_SWEEPS; sweep++) {
            rotated = false;
            for (int p = 0; p < n; p++) {
                for (int q = p + 1; q < n; q++) {
                    rotated |= rotate(columns, turns, n, p, q);
                }
            }
        }
        double[] lengths = new double[n];
        for (int i = 0; i < n; i++) {
            lengths[i] = Math.sqrt(dot(columns, n, i, i));
        }
        Integer[] order = new Integer[n];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, Comparator.comparingDouble((Integer i) -> -lengths[i]));
        Matrix u = Matrix.zeros(n, n);
        Matrix v = Matrix.zeros(n, n);
        double[] s = new double[n];
        for (int k = 0; k < n; k++) {
            int from = order[k];
            s[k] = lengths[from];
            for (int i = 0; i < n; i++) {
                u.values()[i * n + k] = s[k] > 0 ? columns[from * n + i] / s[k] : 0;
                v.values()[i * n + k] = turns[from * n + i];
            }
        }
        return new Svd(u, s, v);
    }

    private static boolean rotate(double[] columns, double[] turns, int n, int p, int q) {
        double pp = dot(columns, n, p, p);
        double qq = dot(columns, n, q, q);
        double pq = dot(columns, n, p, q);
        if (pq == 0 || Math.abs(pq) <= ORTHOGONAL * Math.sqrt(pp * qq)) {
            return false;
        }
        double zeta = (qq - pp) / (2 * pq);
        double tangent = Math.copySign(1, zeta) / (Math.abs(zeta) + Math.hypot(1, zeta));
        double cosine = 1 / Math.hypot(1, tangent);
        double sine = cosine * tangent;
        turn(columns, n, p, q, cosine, sine);
        turn(turns, n, p, q, cosine, sine);
        return true;
    }

    private static void turn(double[] rows, int n, int p, int q, double cosine, double sine) {
        for (int i = 0; i < n; i++) {
            double x = rows[p * n + i];
            double y = rows[q * n + i];
            rows[p * n + i] = cosine * x - sine * y;
            rows[q * n + i] = sine * x + cosine * y;
        }
    }

    private static double dot(double[] rows, int n, int p, int q) {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            sum += rows[p * n + i] * rows[q * n + i];
        }
        return sum;
    }
}
