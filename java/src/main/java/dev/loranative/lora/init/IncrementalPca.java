package dev.loranative.lora.init;

import dev.loranative.random.CounterRandom;

/**
 * The directions in which data vary most, found batch by batch without keeping the data (Ross et al. 2008, "Incremental
 * Learning for Robust Visual Tracking"), as scikit-learn and PEFT do.
 */
public final class IncrementalPca {

    private final int count;
    private final int width;
    private final CounterRandom random;
    private long seen;
    private final double[] mean;

    /** Sum of squared distances from the mean, of all columns together. */
    private double variation;

    /** [count, width], unit length, strongest first; null before the first batch. */
    private Matrix directions;

    private double[] singularValues;

    /**
     * @param count directions, at most width
     * @param width columns of the data
     */
    public IncrementalPca(int count, int width, CounterRandom random) {
        this.count = count;
        this.width = width;
        this.random = random;
        this.mean = new double[width];
    }

    /** Whether a batch was large enough for the first directions. */
    public boolean hasDirections() {
        return directions != null;
    }

    public int count() {
        return count;
    }

    /** [count, width] */
    public Matrix directions() {
        return directions;
    }

    /** [count] */
    public double[] singularValues() {
        return singularValues;
    }

    /** [count]: the share of each direction in all variation. */
    public double[] explained() {
        double[] shares = new double[count];
        for (int i = 0; i < count; i++) {
            shares[i] = variation == 0 ? 0 : singularValues[i] * singularValues[i] / variation;
        }
        return shares;
    }

    /**
     * Takes a batch in; one with fewer rows than directions is left out.
     *
     * @param batch [rows, width]
     * @return whether it was taken
     */
    public boolean add(Matrix batch) {
        int rows = batch.rows();
        if (rows < count) {
            return false;
        }
        double[] batchMean = new double[width];
        for (int i = 0; i < batch.values().length; i++) {
            batchMean[i % width] += batch.values()[i] / rows;
        }
        // What is known so far stands in for the data: directions times their singular values, and the shift of the
        // mean.
        int old = directions == null ? 0 : count + 1;
        Matrix stacked = Matrix.zeros(old + rows, width);
        double shift = Math.sqrt((double) seen / (seen + rows) * rows);
        for (int column = 0; column < width; column++) {
            double difference = mean[column] - batchMean[column];
            for (int k = 0; k + 1 < old; k++) {
                stacked.values()[k * width + column] = singularValues[k] * directions.get(k, column);
            }
            if (old > 0) {
                stacked.values()[count * width + column] = shift * difference;
                variation += shift * shift * difference * difference;
            }
            for (int row = 0; row < rows; row++) {
                double centred = batch.get(row, column) - batchMean[column];
                stacked.values()[(old + row) * width + column] = centred;
                variation += centred * centred;
            }
            mean[column] += rows * (batchMean[column] - mean[column]) / (seen + rows);
        }
        seen += rows;
        Svd svd = Svd.truncated(stacked, count, random);
        singularValues = svd.s();
        directions = svd.v().transposed();
        settleSigns();
        return true;
    }

    /** The largest element of a direction is positive. */
    private void settleSigns() {
        double[] values = directions.values();
        for (int k = 0; k < count; k++) {
            int largest = k * width;
            for (int i = k * width; i < (k + 1) * width; i++) {
                if (Math.abs(values[i]) > Math.abs(values[largest])) {
                    largest = i;
                }
            }
            if (values[largest] < 0) {
                for (int i = k * width; i < (k + 1) * width; i++) {
                    values[i] = -values[i];
                }
            }
        }
    }
}
