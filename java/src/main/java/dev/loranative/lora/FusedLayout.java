package dev.loranative.lora;

/**
 * How PEFT lays out the updates of all experts in one pair of matrices. With R the rank, E the number of experts, e an expert
 * and rho a rank index, A is [R·E, in] with row {@code e·R + rho} and B is [out, R·E] with column {@code rho·E + e}. Up to
 * 0.18.1, and in 0.19.0, PEFT had in and out change places: the file's A is [R·E, out], B is [in, R·E], and
 * {@code A[e·R + rho] = column rho·E + e of the file's B}.
 *
 * @param experts E
 * @param r R, the same for every expert
 * @param in columns of an expert's weight
 * @param out rows of an expert's weight
 */
record FusedLayout(int experts, int r, int in, int out) {

    /** [R, in] of one expert. */
    float[] a(float[] fileA, float[] fileB, int expert, boolean swapped) {
        float[] a = new float[r * in];
        if (!swapped) {
            System.arraycopy(fileA, expert * a.length, a, 0, a.length);
            return a;
        }
        for (int rho = 0; rho < r; rho++) {
            for (int i = 0; i < in; i++) {
                a[rho * in + i] = fileB[i * r * experts + rho * experts + expert];
            }
        }
        return a;
    }

    /** [out, R] of one expert. */
    float[] b(float[] fileA, float[] fileB, int expert, boolean swapped) {
        float[] b = new float[out * r];
        for (int o = 0; o < out; o++) {
            for (int rho = 0; rho < r; rho++) {
                b[o * r + rho] =
                        swapped ? fileA[(expert * r + rho) * out + o] : fileB[o * r * experts + rho * experts + expert];
            }
        }
        return b;
    }

    /** Puts an expert's [rows, in] into {@code fileA}, from its rank index {@code rho} on. */
    void putA(float[] a, int expert, int rho, float[] fileA) {
        System.arraycopy(a, 0, fileA, (expert * r + rho) * in, a.length);
    }

    /**
     * Puts an expert's [rows, rank] into {@code fileB}, from row {@code out} and rank index {@code rho} on.
     *
     * @param factor what every number is multiplied by
     */
    void putB(float[] b, int rank, int expert, int row, int rho, float factor, float[] fileB) {
        for (int o = 0; o < b.length / rank; o++) {
            for (int k = 0; k < rank; k++) {
                fileB[(row + o) * r * experts + (rho + k) * experts + expert] = factor * b[o * rank + k];
            }
        }
    }
}
