package dev.loranative.lora.merge;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.errors.UserException;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/**
 * Compares a merged model's files, tensor by tensor and so expert by expert, with base + update computed in float64.
 *
 * <p>An element may differ by the rounding to its type, u·|value|, and by what float32 arithmetic loses beside the largest
 * number of its row; more is an error.
 */
final class WeightCheck {

    /** Roundings of float32 on the way: of the update, of the sum, and two of DoRA's factor; doubled. */
    private static final double ARITHMETIC = 8 * Math.scalb(1.0, -24);

    /**
     * What was found.
     *
     * @param tensors how many the adapter changed
     * @param worst name of the changed tensor with the largest difference; empty if none was changed
     * @param worstDifference largest |merged - (base + update)| of that tensor, as a share of its largest number
     * @param bound share that rounding explains
     */
    record Result(int tensors, String worst, double worstDifference, double bound) {}

    private record Difference(double largest, double excess, double scale) {

        static final Difference NONE = new Difference(0, 0, 0);

        Difference with(Difference other) {
            return new Difference(
                    Math.max(largest, other.largest), Math.max(excess, other.excess), Math.max(scale, other.scale));
        }
    }

    private final WeightSource base;
    private final Checkpoint merged;
    private final RowBuffer ofBase = new RowBuffer();
    private final RowBuffer ofMerged = new RowBuffer();

    WeightCheck(WeightSource base, Checkpoint merged) {
        this.base = base;
        this.merged = merged;
    }

    /**
     * @param progress told the name of every tensor before it is compared
     * @throws UserException if a tensor is missing, has another type or shape, or differs by more than rounding
     */
    Result run(List<MergedTensor> tensors, Consumer<String> progress) {
        String worst = "";
        double worstShare = 0;
        double bound = 0;
        int changed = 0;
        for (MergedTensor tensor : tensors) {
            requirePresent(tensor);
            if (tensor.updates().isEmpty()) {
                continue;
            }
            progress.accept(tensor.name());
            changed++;
            Difference difference = compare(tensor);
            double share = difference.scale() == 0 ? 0 : difference.largest() / difference.scale();
            if (worst.isEmpty() || share > worstShare) {
                worst = tensor.name();
                worstShare = share;
            }
            bound = Math.max(bound, roundoff(tensor.plan().type()) + ARITHMETIC);
            if (!(difference.excess() <= 0)) {
                throw UserException.failed(
                        "the merged " + tensor.name() + " differs from base + adapter by " + difference.largest()
                                + ", more than the rounding to " + tensor.plan().type() + " explains",
                        "nothing was kept; check the disk, and report this if it happens again");
            }
        }
        return new Result(changed, worst, worstShare, bound);
    }

    private void requirePresent(MergedTensor tensor) {
        boolean same = merged.contains(tensor.name())
                && merged.entry(tensor.name()).type() == tensor.plan().type()
                && merged.entry(tensor.name()).shape().equals(tensor.plan().shape());
        if (!same) {
            throw UserException.failed(
                    "the merged model has no " + tensor.name() + " of type "
                            + tensor.plan().type() + " and shape "
                            + tensor.plan().shape(),
                    "nothing was kept; check the disk, and report this if it happens again");
        }
    }

    private Difference compare(MergedTensor tensor) {
        Difference[] total = {Difference.NONE};
        int columns = tensor.columns();
        tensor.pieces(base, ofBase, (first, count, values) -> {
            float[] stored = ofMerged.atLeast(count * columns);
            merged.read(tensor.name(), first * columns, stored, count * columns);
            total[0] = total[0].with(IntStream.range(0, count)
                    .parallel()
                    .mapToObj(row -> {
                        double[] exact = new double[columns];
                        double rowScale = 0;
                        for (int i = 0; i < columns; i++) {
                            exact[i] = values[row * columns + i];
                            rowScale = Math.max(rowScale, Math.abs(exact[i]));
                        }
                        tensor.updates().forEach(update -> update.exact(first + row, exact));
                        return difference(
                                exact,
                                rowScale,
                                stored,
                                row * columns,
                                tensor.plan().type());
                    })
                    .reduce(Difference.NONE, Difference::with));
        });
        return total[0];
    }

    private static Difference difference(
            double[] exact, double baseScale, float[] stored, int start, ElementType type) {
        double scale = Arrays.stream(exact).map(Math::abs).max().orElse(0);
        double arithmetic = ARITHMETIC * Math.max(scale, baseScale) + smallestStep(type);
        double largest = 0;
        double excess = 0;
        for (int i = 0; i < exact.length; i++) {
            double difference = Math.abs(stored[start + i] - exact[i]);
            largest = Math.max(largest, difference);
            // A NaN fails every comparison, so it is asked for.
            excess = Double.isNaN(difference)
                    ? Double.POSITIVE_INFINITY
                    : Math.max(excess, difference - roundoff(type) * Math.abs(exact[i]) - arithmetic);
        }
        return new Difference(largest, excess, scale);
    }

    /** Largest relative error of rounding to the nearest. */
    static double roundoff(ElementType type) {
        return switch (type) {
            case F32 -> Math.scalb(1.0, -24);
            case F16 -> Math.scalb(1.0, -11);
            case BF16 -> Math.scalb(1.0, -8);
            default -> throw new IllegalArgumentException(type + " is no type of floats");
        };
    }

    /** Below the normal numbers rounding is absolute. */
    private static double smallestStep(ElementType type) {
        return type == ElementType.F16 ? Math.scalb(1.0, -24) : 0;
    }
}
