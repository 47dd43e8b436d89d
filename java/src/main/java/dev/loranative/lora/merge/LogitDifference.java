package dev.loranative.lora.merge;

/**
 * How far the logits of a merged model are from those of base + adapter.
 *
 * @param tokens positions that were compared
 * @param scale largest absolute logit of base + adapter
 * @param max largest absolute difference
 * @param mean mean absolute difference
 * @param bound what {@code max} may be, as a share of {@code scale}
 * @param beyond positions with a difference above the bound
 * @param allowedBeyond positions that may be: those whose token may go to another expert because of rounding
 */
public record LogitDifference(
        int tokens, double scale, double max, double mean, double bound, int beyond, int allowedBeyond) {

    /** Whether the merged model counts as equal: the mean must stay below a quarter of the bound, whatever a few tokens do. */
    public boolean passes() {
        return beyond <= allowedBeyond && mean <= bound * scale / 4;
    }

    /**
     * @param reference [tokens][vocabulary]
     * @param merged likewise
     */
    static LogitDifference of(float[][] reference, float[][] merged, double bound, int allowedBeyond) {
        double scale = 0;
        for (float[] row : reference) {
            for (float value : row) {
                scale = Math.max(scale, Math.abs(value));
            }
        }
        double max = 0;
        double sum = 0;
        long count = 0;
        int beyond = 0;
        for (int token = 0; token < reference.length; token++) {
            double largest = 0;
            for (int i = 0; i < reference[token].length; i++) {
                double difference = Math.abs((double) merged[token][i] - reference[token][i]);
                // Math.max would keep a NaN, and a NaN passes no bound: exactly right.
                largest = Math.max(largest, difference);
                sum += difference;
                count++;
            }
            max = Math.max(max, largest);
            beyond += largest <= bound * scale ? 0 : 1;
        }
        return new LogitDifference(reference.length, scale, max, sum / count, bound, beyond, allowedBeyond);
    }
}
