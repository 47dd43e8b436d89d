package dev.loranative.nn;

import dev.loranative.device.Device;
import dev.loranative.device.SimdTier;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.ExpertWeights;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Makes small modules with random weights, and adapters whose gradients can be looked at; for tests. */
public final class Workbench implements AutoCloseable {

    /** For modules that look at their input alone. */
    static final PackedTokens NO_TOKENS = new PackedTokens(null, null, null, 0);

    private static final long SLAB_BYTES = 32 << 20;

    private final Bench bench;
    private final Slab slab;
    private final List<Parameter> parameters = new ArrayList<>();

    /** Apart from the source of weights, so that the same weights come with and without adapters. */
    private final Random adapterRandom = new Random(4);

    public Workbench() {
        this(1);
    }

    public Workbench(int threads) {
        this.bench = new Bench(SimdTier.AUTO, threads);
        this.slab = Slab.allocate(bench.device(), SLAB_BYTES);
    }

    public Device device() {
        return bench.device();
    }

    public Ops ops() {
        return bench.ops();
    }

    public Bench bench() {
        return bench;
    }

    public Slab slab() {
        return slab;
    }

    /** The tensors of all adapters made so far. */
    public List<Parameter> parameters() {
        return parameters;
    }

    public Tensor normal(double deviation, long... shape) {
        long count = 1;
        for (long dimension : shape) {
            count *= dimension;
        }
        return bench.floats(bench.normal(count, deviation), shape);
    }

    /** Keeps the size of ordinary inputs. */
    public DenseLinear dense(int in, int out) {
        return new DenseLinear(normal(1 / Math.sqrt(in), out, in), null);
    }

    public DenseLinear biased(int in, int out) {
        return new DenseLinear(normal(1 / Math.sqrt(in), out, in), normal(0.5, out));
    }

    public LinearSlot slot(int in, int out) {
        return new LinearSlot(dense(in, out));
    }

    public LinearSlot adaptedSlot(String name, int in, int out) {
        return new LinearSlot(adapted(name, dense(in, out), 3, 0));
    }

    /** A layer with an adapter that has left its beginning: both matrices are random. */
    public LoraLinear adapted(String name, DenseLinear base, int rank, float dropout) {
        Parameter a = parameter(name + ".a", rank, (int) base.in());
        Parameter b = parameter(name + ".b", (int) base.out(), rank);
        Products.Lora lora = new Products.Lora(a.value(), b.value(), a.gradient(), b.gradient(), 0.75f);
        return new LoraLinear(base, lora, new AdapterDropout(dropout, parameters.size()));
    }

    /** As {@link #adapted}, and B has a bias. */
    public LoraLinear adaptedWithBias(String name, DenseLinear base, int rank, float dropout) {
        LoraLinear plain = adapted(name, base, rank, dropout);
        Parameter bias = parameter(name + ".bias", 1, (int) base.out());
        return new LoraLinear(base, plain.lora(), new AdapterDropout(dropout, parameters.size()), bias, null);
    }

    /** As {@link #adapted}, over a base of which a low-rank update is a part. */
    public LoraLinear adaptedBesideUpdate(String name, DenseLinear base, int rank, float dropout) {
        LoraLinear plain = adapted(name, base, rank, dropout);
        FrozenUpdate update = new FrozenUpdate(normal(0.3, rank, base.in()), normal(0.3, base.out(), rank));
        return new LoraLinear(base, plain.lora(), new AdapterDropout(dropout, parameters.size()), null, update);
    }

    /** A weight-decomposed adapter whose lengths are not those of its rows. */
    public DoraLinear decomposed(String name, DenseLinear base, int rank, float dropout) {
        Products.Lora lora = adapted(name, base, rank, dropout).lora();
        Parameter magnitude = parameter(name + ".magnitude", 1, (int) base.out());
        float[] lengths = read(magnitude.value());
        for (int i = 0; i < lengths.length; i++) {
            lengths[i] = 1 + 2 * lengths[i];
        }
        magnitude.value().copyFrom(device(), lengths);
        Tensor norms = Tensor.allocate(device(), DType.F32, base.out());
        return new DoraLinear(base, lora, magnitude, new AdapterDropout(dropout, parameters.size()), norms);
    }

    /** Experts of one projection; an expert of rank 0 has no adapter. */
    public GroupedLinear grouped(String name, int in, int out, float dropout, int... ranks) {
        int experts = ranks.length;
        Tensor[] weights = new Tensor[experts];
        Tensor[] a = new Tensor[experts];
        Tensor[] b = new Tensor[experts];
        Tensor[] gradA = new Tensor[experts];
        Tensor[] gradB = new Tensor[experts];
        float[] scales = new float[experts];
        for (int expert = 0; expert < experts; expert++) {
            weights[expert] = normal(1 / Math.sqrt(in), out, in);
            scales[expert] = 0.25f * (1 + expert);
            if (ranks[expert] > 0) {
                Parameter down = parameter(name + "." + expert + ".a", ranks[expert], in);
                Parameter up = parameter(name + "." + expert + ".b", out, ranks[expert]);
                a[expert] = down.value();
                b[expert] = up.value();
                gradA[expert] = down.gradient();
                gradB[expert] = up.gradient();
            }
        }
        GroupedLinear linear = new GroupedLinear(new ExpertWeights(device(), weights));
        int largest = Arrays.stream(ranks).max().orElseThrow();
        if (largest > 0) {
            Products.GroupedLora lora = new Products.GroupedLora(
                    Tensor.addresses(device(), a),
                    Tensor.addresses(device(), b),
                    Tensor.addresses(device(), gradA),
                    Tensor.addresses(device(), gradB),
                    bench.ints(ranks, experts),
                    bench.floats(scales, experts),
                    largest);
            linear.adapt(lora, new AdapterDropout(dropout, parameters.size()));
        }
        return linear;
    }

    /** Random ones, the same rank for every expert. */
    public FrozenExpertUpdates frozenUpdates(int in, int out, int rank, int experts) {
        Tensor[] a = new Tensor[experts];
        Tensor[] b = new Tensor[experts];
        for (int expert = 0; expert < experts; expert++) {
            a[expert] = normal(0.3, rank, in);
            b[expert] = normal(0.3, out, rank);
        }
        return new FrozenExpertUpdates(new ExpertWeights(device(), a), new ExpertWeights(device(), b));
    }

    /** A trained copy of a tensor, in its shape. */
    public Parameter trained(String name, Tensor own) {
        Parameter parameter = new Parameter(
                name, bench.floats(bench.read(own), own.shape()), Tensor.allocate(device(), DType.F32, own.shape()));
        parameters.add(parameter);
        return parameter;
    }

    /** One adapter for all of these experts. */
    public GroupedLinear shared(String name, int in, int out, float dropout, int experts) {
        GroupedLinear linear = grouped(name, in, out, dropout, new int[experts]);
        int rank = 2;
        Parameter a = parameter(name + ".shared.a", rank, in);
        Parameter b = parameter(name + ".shared.b", out, rank);
        Products.Lora lora = new Products.Lora(a.value(), b.value(), a.gradient(), b.gradient(), 0.6f);
        Tensor[] allA = new Tensor[experts];
        Tensor[] allB = new Tensor[experts];
        int[] ranks = new int[experts];
        float[] scales = new float[experts];
        Arrays.fill(allA, a.value());
        Arrays.fill(allB, b.value());
        Arrays.fill(ranks, rank);
        Arrays.fill(scales, lora.scale());
        Products.GroupedLora tables = new Products.GroupedLora(
                Tensor.addresses(device(), allA),
                Tensor.addresses(device(), allB),
                null,
                null,
                bench.ints(ranks, experts),
                bench.floats(scales, experts),
                rank);
        linear.share(lora, tables, new AdapterDropout(dropout, parameters.size()));
        return linear;
    }

    public Parameter parameter(String name, int rows, int columns) {
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (adapterRandom.nextGaussian() / Math.sqrt(columns));
        }
        Parameter parameter = new Parameter(
                name, bench.floats(values, rows, columns), Tensor.allocate(device(), DType.F32, rows, columns));
        parameters.add(parameter);
        return parameter;
    }

    public RmsNorm norm(int width) {
        float[] weight = bench.normal(width, 0.3);
        for (int i = 0; i < width; i++) {
            weight[i] += 1;
        }
        return new RmsNorm(bench.floats(weight, width), 1e-5f);
    }

    /** Packed sequences of these lengths with random ids. */
    public PackedTokens tokens(Slab where, int vocabulary, int... lengths) {
        int count = Arrays.stream(lengths).sum();
        int[] ids = new int[count];
        int[] positions = new int[count];
        int[] offsets = new int[lengths.length + 1];
        for (int sequence = 0; sequence < lengths.length; sequence++) {
            offsets[sequence + 1] = offsets[sequence] + lengths[sequence];
            for (int i = 0; i < lengths[sequence]; i++) {
                ids[offsets[sequence] + i] = bench.random().nextInt(vocabulary);
                positions[offsets[sequence] + i] = i;
            }
        }
        return PackedTokens.upload(ops(), where, ids, positions, offsets);
    }

    /** The stream of a micro-batch with dropout. */
    public static DropoutStreams dropoutStreams() {
        return new DropoutStreams(7, 3);
    }

    public float[] read(Tensor tensor) {
        return bench.read(tensor);
    }

    @Override
    public void close() {
        bench.close();
    }
}
