package dev.loranative.tensor.cases;

import dev.loranative.tensor.Attentions;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** Causal attention over packed sequences, with grouped heads, windows, and keys from a cache. */
final class AttentionCases {

    private static final Size[] CHECKED = {
        Size.packed(1, 1, 1, 0, 0, 1),
        Size.packed(4, 2, 20, 0, 0, 3, 4, 37),
        Size.packed(3, 1, 33, 5, 0, 31, 33),
        Size.packed(2, 2, 16, 1, 0, 7),
        Size.packed(4, 4, 64, 0, 0, 100),
        Size.packed(2, 1, 8, 40, 0, 130),
        new Size(4, 2, 24, 0, new int[] {0, 1}, new int[] {0, 19}),
        new Size(2, 1, 10, 6, new int[] {0, 3, 8}, new int[] {0, 12, 17}),
    };

    /** moe-small, moe-medium, llama-medium on 2 x 256 tokens; one long sequence; a window; a generated token. */
    private static final Size[] TIMED = {
        Size.packed(8, 2, 64, 0, 0, 256, 512),
        Size.packed(12, 2, 64, 0, 0, 256, 512),
        Size.packed(16, 8, 64, 0, 0, 256, 512),
        Size.packed(8, 8, 64, 0, 0, 2048),
        Size.packed(8, 2, 128, 0, 0, 1024),
        Size.packed(8, 2, 64, 256, 0, 2048),
        new Size(16, 8, 64, 0, new int[] {0, 1}, new int[] {0, 1024}),
    };

    private AttentionCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (Size size : CHECKED) {
            cases.add(forward(Use.CHECK, size));
            cases.add(backward(Use.CHECK, size));
        }
        for (Size size : TIMED) {
            cases.add(forward(Use.TIME, size));
            // Of a token that is generated there is no gradient.
            if (size.queries() > 1) {
                cases.add(backward(Use.TIME, size));
            }
        }
        return cases;
    }

    /** @param keyOffsets differs from queryOffsets where earlier keys come from a cache */
    record Size(int heads, int keyHeads, int headDim, int window, int[] queryOffsets, int[] keyOffsets) {

        static Size packed(int heads, int keyHeads, int headDim, int window, int... offsets) {
            return new Size(heads, keyHeads, headDim, window, offsets, offsets);
        }

        int queries() {
            return queryOffsets[queryOffsets.length - 1];
        }

        int keys() {
            return keyOffsets[keyOffsets.length - 1];
        }

        int sequences() {
            return queryOffsets.length - 1;
        }

        double scale() {
            return 1 / Math.sqrt(headDim);
        }

        /** Pairs of a query and a key that it sees, for one head. */
        double pairs() {
            double pairs = 0;
            for (int s = 0; s < sequences(); s++) {
                int queries = queryOffsets[s + 1] - queryOffsets[s];
                int keys = keyOffsets[s + 1] - keyOffsets[s];
                for (int i = 0; i < queries; i++) {
                    int visible = i + keys - queries + 1;
                    pairs += window == 0 ? visible : Math.min(visible, window);
                }
            }
            return pairs;
        }

        String text() {
            return sequences() + " seq " + queries() + (keys() == queries() ? "" : " of " + keys()) + " x" + heads + "/"
                    + keyHeads + "x" + headDim + (window == 0 ? "" : " window " + window);
        }

        /** Scores and weighted sum; one exponential a pair. */
        Work forward() {
            double queryBytes = 4.0 * queries() * heads * headDim;
            double keyBytes = 4.0 * keys() * keyHeads * headDim;
            return new Work(
                    pairs() * heads * (4.0 * headDim + 1), 2 * queryBytes + 2 * keyBytes + 4.0 * queries() * heads);
        }

        /** Scores again, dp, dq, dk, dv. */
        Work backward() {
            double queryBytes = 4.0 * queries() * heads * headDim;
            double keyBytes = 4.0 * keys() * keyHeads * headDim;
            return new Work(
                    pairs() * heads * (10.0 * headDim + 1), 4 * queryBytes + 4 * keyBytes + 8.0 * queries() * heads);
        }
    }

    private static final class Sequences {

        final Size size;
        final Attentions attentions;
        final Attentions.Geometry geometry;
        final float[] q;
        final float[] k;
        final float[] v;
        final float[] dO;
        final Tensor tensorQ;
        final Tensor tensorK;
        final Tensor tensorV;
        final Tensor tensorDo;
        final Tensor o;
        final Tensor lse;
        final Tensor delta;
        final Tensor dq;
        final Tensor dk;
        final Tensor dv;

        Sequences(Bench bench, Size size) {
            this.size = size;
            attentions = bench.ops().attentions();
            int queryWidth = size.heads() * size.headDim();
            int keyWidth = size.keyHeads() * size.headDim();
            geometry = new Attentions.Geometry(
                    bench.ints(size.queryOffsets(), size.sequences() + 1),
                    bench.ints(size.keyOffsets(), size.sequences() + 1),
                    size.heads(),
                    size.keyHeads(),
                    size.headDim(),
                    size.window(),
                    (float) size.scale());
            q = bench.normal((long) size.queries() * queryWidth);
            k = bench.normal((long) size.keys() * keyWidth);
            v = bench.normal((long) size.keys() * keyWidth);
            dO = bench.normal((long) size.queries() * queryWidth);
            tensorQ = bench.floats(q, size.queries(), queryWidth);
            tensorK = bench.floats(k, size.keys(), keyWidth);
            tensorV = bench.floats(v, size.keys(), keyWidth);
            tensorDo = bench.floats(dO, size.queries(), queryWidth);
            o = bench.unwritten(size.queries(), queryWidth);
            lse = bench.unwritten(size.queries(), size.heads());
            delta = bench.unwritten(size.queries(), size.heads());
            dq = bench.unwritten(size.queries(), queryWidth);
            dk = bench.unwritten(size.keys(), keyWidth);
            dv = bench.unwritten(size.keys(), keyWidth);
        }

        void forward() {
            attentions.forward(geometry, tensorQ, tensorK, tensorV, o, lse);
        }

        void backward() {
            attentions.backward(geometry, tensorQ, tensorK, tensorV, o, lse, tensorDo, delta, dq, dk, dv);
        }

        List<Output> forwardOutputs() {
            PlainAttention plain = new PlainAttention(size, q, k, v, dO);
            return List.of(Output.close("o", o, plain.o, 2e-5), Output.close("lse", lse, plain.lse, 2e-5));
        }

        List<Output> backwardOutputs() {
            PlainAttention plain = new PlainAttention(size, q, k, v, dO);
            return List.of(
                    Output.close("dq", dq, plain.dq, 5e-5),
                    Output.close("dk", dk, plain.dk, 5e-5),
                    Output.close("dv", dv, plain.dv, 5e-5));
        }

        List<OpRun.Input> inputs() {
            List<OpRun.Input> inputs = new ArrayList<>();
            // A query that sees one key takes its value whatever the scores are.
            if (size.keys() > size.sequences() && size.window() != 1) {
                inputs.add(OpRun.activation("q", tensorQ, dq));
                inputs.add(OpRun.activation("k", tensorK, dk));
            }
            inputs.add(OpRun.activation("v", tensorV, dv));
            return inputs;
        }
    }

    private static OpCase forward(Use use, Size size) {
        return new OpCase(Family.ATTENTION, "attention_fwd", size.text(), DType.F32, use, size.forward(), bench -> {
            Sequences sequences = new Sequences(bench, size);
            return OpRun.of(sequences::forward, sequences::forwardOutputs);
        });
    }

    private static OpCase backward(Use use, Size size) {
        return new OpCase(Family.ATTENTION, "attention_bwd", size.text(), DType.F32, use, size.backward(), bench -> {
            Sequences sequences = new Sequences(bench, size);
            sequences.forward();
            return OpRun.of(sequences::backward, sequences::backwardOutputs)
                    .derivativeOf(sequences::forward, sequences.o, sequences.tensorDo, sequences.inputs());
        });
    }
}
