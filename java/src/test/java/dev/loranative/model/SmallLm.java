package dev.loranative.model;

import dev.loranative.nn.Attention;
import dev.loranative.nn.DecoderLayer;
import dev.loranative.nn.DenseLinear;
import dev.loranative.nn.DropoutStreams;
import dev.loranative.nn.Embedding;
import dev.loranative.nn.Experts;
import dev.loranative.nn.FeedForward;
import dev.loranative.nn.GatedMlp;
import dev.loranative.nn.Labels;
import dev.loranative.nn.LanguageHead;
import dev.loranative.nn.LinearSlot;
import dev.loranative.nn.MixtureOfExperts;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.Pass;
import dev.loranative.nn.RmsNorm;
import dev.loranative.nn.Rope;
import dev.loranative.nn.RopeParameters;
import dev.loranative.nn.Router;
import dev.loranative.nn.RouterStatistics;
import dev.loranative.nn.SharedExpert;
import dev.loranative.nn.TrainedRows;
import dev.loranative.nn.Workbench;
import dev.loranative.tensor.Activation;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/**
 * A language model of random tensors: a dense layer, a mixture with a window and a mixture with a shared expert. Weights
 * are the same whatever is adapted.
 */
final class SmallLm implements AutoCloseable {

    static final int VOCABULARY = 23;
    static final int LAYERS = 3;
    static final int KEY_WIDTH = 6;
    static final int EXPERTS = 4;
    static final float COEFFICIENT = 0.1f;
    static final float Z_COEFFICIENT = 0.05f;
    static final float GRADIENT_SCALE = 0.125f;

    private static final int HIDDEN = 12;
    private static final int INNER = 16;
    private static final int TOP_K = 2;
    private static final float EPSILON = 1e-5f;

    /** Two sequences of lengths 7 and 4; a position without a successor has no label. */
    private static final int[] IDS = {3, 1, 4, 1, 5, 9, 2, 6, 22, 0, 8};

    private static final int[] POSITIONS = {0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3};
    private static final int[] OFFSETS = {0, 7, 11};
    private static final int[] TARGETS = {1, 4, -100, 5, 9, 2, -100, 22, 0, 8, -100};

    /** What else is trained, beside adapters of the layers. */
    enum Extra {
        /** Norms of the layers that have adapters, of queries and keys too. */
        NORMS,
        FINAL_NORM,
        /** The whole embedding. */
        TABLE,
        /** Rows of the embedding and of the head. */
        ROWS,
        EMBEDDING_ADAPTER,
        /** Weight and bias of the keys' projection in layers that have adapters. */
        KEYS,
        /** One adapter for the upward projections of a layer's experts. */
        SHARED_EXPERTS
    }

    /**
     * What is adapted and how a step runs.
     *
     * @param firstAdapted lower layers are frozen; {@link #LAYERS} for none
     */
    record Options(
            int threads,
            int firstAdapted,
            boolean adaptedHead,
            float dropout,
            boolean routerLosses,
            boolean recompute,
            Set<Extra> extras) {

        static final Options DEFAULT = new Options(1, 0, false, 0, false, false, Set.of());

        Options withThreads(int value) {
            return new Options(value, firstAdapted, adaptedHead, dropout, routerLosses, recompute, extras);
        }

        Options withFirstAdapted(int value) {
            return new Options(threads, value, adaptedHead, dropout, routerLosses, recompute, extras);
        }

        Options withAdaptedHead() {
            return new Options(threads, firstAdapted, true, dropout, routerLosses, recompute, extras);
        }

        Options withDropout(float value) {
            return new Options(threads, firstAdapted, adaptedHead, value, routerLosses, recompute, extras);
        }

        Options withRouterLosses() {
            return new Options(threads, firstAdapted, adaptedHead, dropout, true, recompute, extras);
        }

        Options withRecompute(boolean value) {
            return new Options(threads, firstAdapted, adaptedHead, dropout, routerLosses, value, extras);
        }

        boolean has(Extra extra) {
            return extras.contains(extra);
        }

        Options with(Extra... values) {
            return new Options(threads, firstAdapted, adaptedHead, dropout, routerLosses, recompute, Set.of(values));
        }
    }

    /**
     * @param routerLoss the weighted load-balancing and z-loss
     * @param gradients of everything trained, in the order in which it was made
     */
    record Step(double lossSum, float[] losses, double routerLoss, List<float[]> gradients, long peakBytes) {}

    final Workbench bench;
    final CausalLm lm;
    private final Options options;

    SmallLm(Options options) {
        this.options = options;
        this.bench = new Workbench(options.threads());
        Rope rope = new Rope(RopeParameters.unscaled(10_000), KEY_WIDTH, 64);
        List<DecoderLayer> layers = new ArrayList<>();
        for (int layer = 0; layer < LAYERS; layer++) {
            boolean adapted = layer >= options.firstAdapted();
            boolean norms = adapted && options.has(Extra.NORMS);
            layers.add(new DecoderLayer(
                    norm(norms, layer + ".input_norm", HIDDEN),
                    attention(layer, adapted, rope),
                    norm(norms, layer + ".middle_norm", HIDDEN),
                    feedForward(layer, adapted)));
        }
        LanguageHead head = new LanguageHead(slot(options.adaptedHead(), "head", HIDDEN, VOCABULARY));
        Embedding embedding = new Embedding(bench.normal(1, VOCABULARY, HIDDEN));
        RmsNorm finalNorm = norm(options.has(Extra.FINAL_NORM), "final_norm", HIDDEN);
        train(embedding, head);
        this.lm = new CausalLm(embedding, rope, layers, finalNorm, head);
        lm.reservePositions(bench.device(), 16);
    }

    private void train(Embedding embedding, LanguageHead head) {
        if (options.has(Extra.TABLE)) {
            Parameter table = bench.trained("table", embedding.table());
            embedding.replaceTable(table.value(), table.gradient());
        }
        if (options.has(Extra.ROWS)) {
            int[] index = {5, 1, 22};
            int[] slots = new int[VOCABULARY];
            Arrays.fill(slots, -1);
            for (int row = 0; row < index.length; row++) {
                slots[index[row]] = row;
            }
            Tensor original = bench.normal(1, index.length, HIDDEN);
            Parameter rows = bench.parameter("rows", index.length, HIDDEN);
            TrainedRows trained = new TrainedRows(
                    bench.bench().ints(index, index.length),
                    bench.bench().ints(slots, VOCABULARY),
                    original,
                    rows.value(),
                    rows.gradient());
            embedding.replaceRows(trained);
            head.replaceRows(trained);
        }
        if (options.has(Extra.EMBEDDING_ADAPTER)) {
            Parameter a = bench.parameter("embedding.a", VOCABULARY, 2);
            Parameter b = bench.parameter("embedding.b", HIDDEN, 2);
            embedding.adapt(new Products.Lora(a.value(), b.value(), a.gradient(), b.gradient(), 0.8f));
        }
    }

    private RmsNorm norm(boolean trained, String name, int width) {
        RmsNorm norm = new RmsNorm(bench.normal(1, width), EPSILON);
        if (trained) {
            Parameter weight = bench.trained(name, norm.weight());
            norm.replaceWeight(weight.value(), weight.gradient());
        }
        return norm;
    }

    /** The projection of the keys, in full where that is wanted. */
    private LinearSlot keys(int layer, boolean adapted) {
        LinearSlot slot = bench.slot(HIDDEN, KEY_WIDTH);
        if (adapted && options.has(Extra.KEYS)) {
            DenseLinear own = (DenseLinear) slot.get();
            Parameter weight = bench.trained(layer + ".key.weight", own.weight());
            Parameter bias = bench.trained(layer + ".key.bias", bench.normal(0.3, KEY_WIDTH));
            slot.set(own.withWeight(weight.value(), weight.gradient()).withBias(bias.value(), bias.gradient()));
        }
        return slot;
    }

    private Attention attention(int layer, boolean adapted, Rope rope) {
        int window = layer == 1 ? 3 : 0;
        return new Attention(
                new Attention.Geometry(2, 1, KEY_WIDTH, window, 0),
                layer,
                rope,
                slot(adapted, layer + ".query", HIDDEN, 2 * KEY_WIDTH),
                keys(layer, adapted),
                slot(adapted, layer + ".value", HIDDEN, KEY_WIDTH),
                slot(false, layer + ".output", 2 * KEY_WIDTH, HIDDEN),
                norm(adapted && options.has(Extra.NORMS), layer + ".query_norm", KEY_WIDTH),
                norm(adapted && options.has(Extra.NORMS), layer + ".key_norm", KEY_WIDTH));
    }

    private FeedForward feedForward(int layer, boolean adapted) {
        if (layer == 0) {
            return mlp(adapted, layer + ".mlp");
        }
        Router router = new Router(slot(adapted, layer + ".router", HIDDEN, EXPERTS), TOP_K, layer == 1);
        int[] ranks = adapted ? new int[] {2, 0, 3, 1} : new int[EXPERTS];
        Experts experts = new Experts(
                Activation.SILU,
                bench.grouped(layer + ".gate", HIDDEN, INNER, options.dropout(), ranks),
                adapted && options.has(Extra.SHARED_EXPERTS)
                        ? bench.shared(layer + ".up", HIDDEN, INNER, options.dropout(), EXPERTS)
                        : bench.grouped(layer + ".up", HIDDEN, INNER, options.dropout(), new int[EXPERTS]),
                bench.grouped(layer + ".down", INNER, HIDDEN, options.dropout(), ranks));
        SharedExpert shared = layer == 1
                ? null
                : new SharedExpert(mlp(adapted, layer + ".shared"), slot(adapted, layer + ".shared_gate", HIDDEN, 1));
        return new MixtureOfExperts(router, experts, shared);
    }

    private GatedMlp mlp(boolean adapted, String name) {
        return new GatedMlp(
                Activation.SILU,
                slot(false, name + ".gate", HIDDEN, INNER),
                slot(adapted, name + ".up", HIDDEN, INNER),
                slot(adapted, name + ".down", INNER, HIDDEN));
    }

    private LinearSlot slot(boolean adapted, String name, int in, int out) {
        return adapted
                ? new LinearSlot(bench.adapted(name, bench.dense(in, out), 3, options.dropout()))
                : bench.slot(in, out);
    }

    /** A slab that is larger than any step here. */
    Slab slab() {
        return Slab.allocate(bench.device(), 8 << 20);
    }

    PackedTokens tokens(Slab slab) {
        return PackedTokens.upload(bench.ops(), slab, IDS, POSITIONS, OFFSETS);
    }

    Labels labels(Slab slab) {
        return Labels.upload(bench.ops(), slab, TARGETS);
    }

    int targets() {
        return (int) java.util.Arrays.stream(TARGETS)
                .filter(target -> target != Labels.IGNORED)
                .count();
    }

    /** The first sequence. */
    int[] prompt() {
        return java.util.Arrays.copyOf(IDS, OFFSETS[1]);
    }

    /** One training step from cleared gradients. */
    Step train(Slab slab) {
        bench.parameters().forEach(parameter -> bench.ops().clear(parameter.gradient()));
        long start = slab.mark();
        Tensor sums = sums(slab);
        Pass pass = pass(slab, sums);
        float[] losses = bench.read(run(slab, pass, sums));
        double[] read = sums.toDoubles(bench.device());
        RouterStatistics statistics = pass.routerStatistics();
        double routerLoss = statistics == null ? 0 : COEFFICIENT * read[1] + Z_COEFFICIENT * statistics.zLoss(read[2]);
        slab.release(start);
        List<float[]> gradients = new ArrayList<>();
        for (Parameter parameter : bench.parameters()) {
            gradients.add(bench.read(parameter.gradient()));
        }
        return new Step(read[0], losses, routerLoss, gradients, slab.peakBytes());
    }

    /** Bytes of activations that {@link #train} will take; no kernel runs. */
    long planTraining() {
        Slab slab = Slab.planning();
        bench.ops().plan(() -> {
            Tensor sums = sums(slab);
            run(slab, pass(slab, sums), sums);
        });
        return slab.peakBytes();
    }

    /** F64: the sum of the losses, and those of the routers. */
    private static Tensor sums(Slab slab) {
        return slab.allocate(DType.F64, 3);
    }

    private Pass pass(Slab slab, Tensor sums) {
        DropoutStreams streams = options.dropout() == 0 ? null : new DropoutStreams(11, 5);
        RouterStatistics statistics = options.routerLosses()
                ? new RouterStatistics(
                        bench.ops(),
                        slab,
                        slab.allocate(DType.I64, EXPERTS),
                        sums.range(1, 2),
                        COEFFICIENT,
                        Z_COEFFICIENT)
                : null;
        return Pass.training(bench.ops(), slab, tokens(slab), streams, statistics);
    }

    private Tensor run(Slab slab, Pass pass, Tensor sums) {
        return lm.trainMicroBatch(pass, labels(slab), sums.range(0, 1), GRADIENT_SCALE, options.recompute());
    }

    @Override
    public void close() {
        bench.close();
    }
}
