package dev.loranative.lora.init;

import dev.loranative.model.WeightRows;
import dev.loranative.tensor.Ops;

/** A model's weight, widened or dequantised some rows at a time. */
public record WeightMap(WeightRows weight, Ops ops) implements LinearMap {

    /** Floats that are held at a time. */
    private static final int PIECE = 1 << 22;

    @Override
    public int rows() {
        return Math.toIntExact(weight.out());
    }

    @Override
    public int columns() {
        return Math.toIntExact(weight.in());
    }

    @Override
    public Matrix times(Matrix x) {
        Matrix product = Matrix.zeros(rows(), x.columns());
        forEachPiece((first, piece) -> System.arraycopy(
                piece.times(x).values(), 0, product.values(), first * x.columns(), piece.rows() * x.columns()));
        return product;
    }

    @Override
    public Matrix transposedTimes(Matrix y) {
        Matrix product = Matrix.zeros(columns(), y.columns());
        forEachPiece((first, piece) -> {
            double[] part = new double[piece.rows() * y.columns()];
            System.arraycopy(y.values(), first * y.columns(), part, 0, part.length);
            Matrix added = piece.transposedTimes(new Matrix(piece.rows(), y.columns(), part));
            for (int i = 0; i < added.values().length; i++) {
                product.values()[i] += added.values()[i];
            }
        });
        return product;
    }

    @Override
    public Matrix whole() {
        Matrix all = Matrix.zeros(rows(), columns());
        forEachPiece((first, piece) ->
                System.arraycopy(piece.values(), 0, all.values(), first * columns(), piece.values().length));
        return all;
    }

    private interface PieceVisitor {
        void visit(int firstRow, Matrix piece);
    }

    private void forEachPiece(PieceVisitor visitor) {
        int step = Math.max(1, PIECE / columns());
        for (int first = 0; first < rows(); first += step) {
            int count = Math.min(step, rows() - first);
            visitor.visit(first, Matrix.of(count, columns(), weight.read(ops, first, count)));
        }
    }
}
