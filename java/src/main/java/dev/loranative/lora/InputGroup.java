package dev.loranative.lora;

import dev.loranative.lora.init.IncrementalPca;
import dev.loranative.lora.init.Matrix;
import java.util.List;

/** Targets that get the same input, and what EVA knows of it. */
final class InputGroup {

    private final List<Target> members;
    private final IncrementalPca pca;
    private final double tau;
    private boolean[] converged;
    private int needed;

    /**
     * @param pca null for a look at the inputs alone
     * @param tau cosine between a direction and itself a batch before, with which it counts as found
     */
    InputGroup(List<Target> members, IncrementalPca pca, double tau) {
        this.members = List.copyOf(members);
        this.pca = pca;
        this.tau = tau;
        this.converged = new boolean[pca == null ? 0 : pca.count()];
        this.needed = converged.length;
    }

    List<Target> members() {
        return members;
    }

    IncrementalPca pca() {
        return pca;
    }

    /** So many of the directions are wanted. */
    void need(int directions) {
        this.needed = directions;
    }

    /** Whether all that are wanted have been found. */
    boolean isSettled() {
        for (int i = 0; i < needed; i++) {
            if (!converged[i]) {
                return false;
            }
        }
        return true;
    }

    /** @param counted which rows of x count */
    void add(Matrix x, boolean[] counted) {
        Matrix before = pca.directions();
        if (pca.add(rows(x, counted)) && before != null) {
            Matrix after = pca.directions();
            for (int k = 0; k < converged.length; k++) {
                double cosine = 0;
                for (int i = 0; i < after.columns(); i++) {
                    cosine += before.get(k, i) * after.get(k, i);
                }
                converged[k] = cosine >= tau;
            }
        }
    }

    private static Matrix rows(Matrix x, boolean[] counted) {
        int count = 0;
        for (boolean counts : counted) {
            count += counts ? 1 : 0;
        }
        Matrix rows = Matrix.zeros(count, x.columns());
        int next = 0;
        for (int i = 0; i < counted.length; i++) {
            if (counted[i]) {
                System.arraycopy(x.values(), i * x.columns(), rows.values(), next++ * x.columns(), x.columns());
            }
        }
        return rows;
    }

    /** [rank, in]: the first directions. */
    float[] directions(int rank, boolean whiten) {
        Matrix all = pca.directions();
        float[] a = new float[rank * all.columns()];
        for (int i = 0; i < a.length; i++) {
            double scale = whiten ? 1 / Math.sqrt(pca.singularValues()[i / all.columns()]) : 1;
            a[i] = (float) (scale * all.values()[i]);
        }
        return a;
    }
}
