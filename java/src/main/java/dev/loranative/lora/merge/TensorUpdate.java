package dev.loranative.lora.merge;

import dev.loranative.lora.AdapterModule;
import dev.loranative.lora.FullTensor;
import dev.loranative.lora.TokenRows;
import dev.loranative.model.LinearModule;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * What an adapter does to one tensor of the base model. All work on whole rows, each by itself, so that a tensor can be
 * merged in pieces, by any number of threads, with the same result.
 */
sealed interface TensorUpdate {

    /**
     * Changes rows [first, first + count) of a matrix; a vector is a matrix with one column.
     *
     * @param values [count, columns] in float32, in: the base model's, or what updates before this one left
     */
    void apply(long first, int count, int columns, float[] values);

    /** The same for one row in float64, as the judge of what was written. */
    void exact(long row, double[] values);

    /** The tensor is another one: {@code modules_to_save}, trained biases. */
    record Replacement(FullTensor tensor) implements TensorUpdate {
        @Override
        public void apply(long first, int count, int columns, float[] values) {
            System.arraycopy(
                    tensor.values(), Math.toIntExact(first * columns), values, 0, Math.multiplyExact(count, columns));
        }

        @Override
        public void exact(long row, double[] values) {
            int start = Math.toIntExact(row * values.length);
            for (int i = 0; i < values.length; i++) {
                values[i] = tensor.values()[start + i];
            }
        }
    }

    /** Some rows are others: {@code trainable_token_indices}. */
    record RowReplacement(TokenRows rows) implements TensorUpdate {
        @Override
        public void apply(long first, int count, int columns, float[] values) {
            for (int i = 0; i < rows.indices().size(); i++) {
                long row = rows.indices().get(i) - first;
                if (row >= 0 && row < count) {
                    System.arraycopy(rows.values(), i * columns, values, (int) row * columns, columns);
                }
            }
        }

        @Override
        public void exact(long row, double[] values) {
            int place = rows.indices().lastIndexOf((int) row);
            for (int i = 0; place >= 0 && i < values.length; i++) {
                values[i] = rows.values()[place * values.length + i];
            }
        }
    }

    /** A bias of B, scaled as B is: {@code lora_bias}. */
    record BiasShift(float[] bias, double scaling) implements TensorUpdate {
        @Override
        public void apply(long first, int count, int columns, float[] values) {
            for (int row = 0; row < count; row++) {
                values[row] += (float) (scaling * bias[Math.toIntExact(first) + row]);
            }
        }

        @Override
        public void exact(long row, double[] values) {
            values[0] += scaling * bias[Math.toIntExact(row)];
        }
    }

    /**
     * W + scaling · B · A, and with DoRA every row times magnitude / norm of that row (Liu et al. 2024, arXiv:2402.09353).
     * The sum over the rank is made in float64, then rounded to float32 and added in float32, as PEFT adds it.
     */
    record LowRank(AdapterModule module) implements TensorUpdate {

        private static final int ROWS_PER_TASK = 16;

        @Override
        public void apply(long first, int count, int columns, float[] values) {
            int tasks = (count + ROWS_PER_TASK - 1) / ROWS_PER_TASK;
            IntStream.range(0, tasks).parallel().forEach(task -> {
                double[] sum = new double[columns];
                int end = Math.min(count, (task + 1) * ROWS_PER_TASK);
                for (int row = task * ROWS_PER_TASK; row < end; row++) {
                    delta(module, Math.toIntExact(first + row), sum);
                    add(sum, values, row * columns);
                    normalise(Math.toIntExact(first + row), columns, values, row * columns);
                }
            });
        }

        @Override
        public void exact(long row, double[] values) {
            double[] sum = new double[values.length];
            delta(module, Math.toIntExact(row), sum);
            double squares = 0;
            for (int column = 0; column < sum.length; column++) {
                values[column] += sum[column];
                squares += values[column] * values[column];
            }
            if (module.magnitude().isPresent()) {
                double factor = module.magnitude().get()[Math.toIntExact(row)] / Math.sqrt(squares);
                for (int column = 0; column < sum.length; column++) {
                    values[column] *= factor;
                }
            }
        }

        private static void add(double[] sum, float[] values, int start) {
            for (int column = 0; column < sum.length; column++) {
                values[start + column] += (float) sum[column];
            }
        }

        private void normalise(int row, int columns, float[] values, int start) {
            if (module.magnitude().isEmpty()) {
                return;
            }
            double squares = 0;
            for (int i = start; i < start + columns; i++) {
                squares += (double) values[i] * values[i];
            }
            double factor = module.magnitude().get()[row] / Math.sqrt(squares);
            for (int i = start; i < start + columns; i++) {
                values[i] = (float) (factor * values[i]);
            }
        }

        /** One row of the update without DoRA: scaling · B[row] · A, for an embedding of its transpose. */
        static void delta(AdapterModule module, int row, double[] sum) {
            Arrays.fill(sum, 0);
            int r = module.r();
            float[] a = module.a();
            float[] b = module.b();
            boolean embedding = module.module().kind() == LinearModule.Kind.EMBEDDING;
            for (int k = 0; k < r; k++) {
                if (embedding) {
                    // A is [r, vocabulary], B is [width, r].
                    double factor = module.scaling()
                            * a[Math.toIntExact(k * module.module().out() + row)];
                    for (int column = 0; column < sum.length; column++) {
                        sum[column] += factor * b[column * r + k];
                    }
                } else {
                    double factor = module.scaling() * b[row * r + k];
                    int start = k * sum.length;
                    for (int column = 0; column < sum.length; column++) {
                        sum[column] += factor * a[start + column];
                    }
                }
            }
        }
    }
}
