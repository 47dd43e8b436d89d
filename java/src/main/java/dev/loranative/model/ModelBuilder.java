package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.model.ModelConfig.QkNorm;
import dev.loranative.nn.Attention;
import dev.loranative.nn.DecoderLayer;
import dev.loranative.nn.DenseLinear;
import dev.loranative.nn.Embedding;
import dev.loranative.nn.Experts;
import dev.loranative.nn.FeedForward;
import dev.loranative.nn.GatedMlp;
import dev.loranative.nn.GroupedLinear;
import dev.loranative.nn.LanguageHead;
import dev.loranative.nn.LinearSlot;
import dev.loranative.nn.MixtureOfExperts;
import dev.loranative.nn.RmsNorm;
import dev.loranative.nn.Rope;
import dev.loranative.nn.Router;
import dev.loranative.nn.SharedExpert;
import dev.loranative.tensor.ExpertWeights;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntFunction;

/** Puts the modules of a model together from its weights; every linear layer and every norm is noted under its
 * name. */
final class ModelBuilder {

    private final ModelConfig config;
    private final TensorNames names;
    private final ModuleWeights loader;
    private final Map<String, Tensor> weights = new HashMap<>();
    private final Map<String, LinearSlot> slots = new HashMap<>();
    private final Map<String, ExpertPlace> experts = new HashMap<>();
    private final Map<String, RmsNorm> norms = new HashMap<>();

    ModelBuilder(ModelConfig config, ModuleWeights loader) {
        this.config = config;
        this.names = TensorNames.of(config.family());
        this.loader = loader;
    }

    /** @param checkpoint what the loader reads from; the result owns it. Empty for weights from nowhere */
    LoadedModel build(Optional<Checkpoint> checkpoint) {
        Embedding embedding = new Embedding(weight(names.embedding()));
        Rope rope = new Rope(config.rope(), config.headDim(), config.maxPositionEmbeddings());
        List<DecoderLayer> layers = new ArrayList<>();
        for (int layer = 0; layer < config.layers(); layer++) {
            layers.add(new DecoderLayer(
                    norm(names.inputNorm(layer)),
                    attention(layer, rope),
                    norm(names.middleNorm(layer)),
                    feedForward(layer)));
        }
        LinearSlot head = config.tieWordEmbeddings() ? tiedHead(embedding.table()) : linear(names.head());
        CausalLm lm = new CausalLm(embedding, rope, layers, norm(names.finalNorm()), new LanguageHead(head));
        return new LoadedModel(
                config,
                ModuleTree.of(config),
                loader.device(),
                lm,
                checkpoint,
                new LoadedModel.Parts(weights, slots, experts, norms));
    }

    private LinearSlot tiedHead(Tensor embedding) {
        weights.put(names.head(), embedding);
        return slot(names.head(), new DenseLinear(embedding, null));
    }

    private Attention attention(int layer, Rope rope) {
        boolean norms = config.qkNorm() != QkNorm.NONE;
        return new Attention(
                new Attention.Geometry(
                        config.heads(),
                        config.kvHeads(),
                        config.headDim(),
                        config.slidingWindows().get(layer),
                        (float) config.clipQkv()),
                layer,
                rope,
                linear(names.query(layer)),
                linear(names.key(layer)),
                linear(names.value(layer)),
                linear(names.output(layer)),
                norms ? norm(names.queryNorm(layer)) : null,
                norms ? norm(names.keyNorm(layer)) : null);
    }

    private FeedForward feedForward(int layer) {
        if (!config.isSparse(layer)) {
            return mlp(names.mlpGate(layer), names.mlpUp(layer), names.mlpDown(layer));
        }
        MoeConfig moe = config.moe().orElseThrow();
        Router router = new Router(linear(names.router(layer)), moe.topK(), moe.renormalise());
        Experts routed = new Experts(
                config.activation(),
                grouped(moe.experts(), expert -> names.expertGate(layer, expert)),
                grouped(moe.experts(), expert -> names.expertUp(layer, expert)),
                grouped(moe.experts(), expert -> names.expertDown(layer, expert)));
        SharedExpert shared = moe.sharedIntermediateSize() == 0
                ? null
                : new SharedExpert(
                        mlp(names.sharedGate(layer), names.sharedUp(layer), names.sharedDown(layer)),
                        linear(names.sharedExpertGate(layer)));
        return new MixtureOfExperts(router, routed, shared);
    }

    private GatedMlp mlp(String gate, String up, String down) {
        return new GatedMlp(config.activation(), linear(gate), linear(up), linear(down));
    }

    private GroupedLinear grouped(int count, IntFunction<String> name) {
        Tensor[] stacked = new Tensor[count];
        for (int expert = 0; expert < count; expert++) {
            stacked[expert] = weight(name.apply(expert));
        }
        GroupedLinear projection = new GroupedLinear(new ExpertWeights(loader.device(), stacked));
        for (int expert = 0; expert < count; expert++) {
            experts.put(name.apply(expert), new ExpertPlace(projection, expert));
        }
        return projection;
    }

    private LinearSlot linear(String name) {
        String bias = name + ".bias";
        return slot(name, new DenseLinear(weight(name), loader.contains(bias) ? loader.tensor(bias) : null));
    }

    private LinearSlot slot(String name, DenseLinear linear) {
        LinearSlot slot = new LinearSlot(linear);
        slots.put(name, slot);
        return slot;
    }

    private RmsNorm norm(String name) {
        RmsNorm norm = new RmsNorm(weight(name), (float) config.rmsNormEps());
        norms.put(name, norm);
        return norm;
    }

    private Tensor weight(String module) {
        Tensor weight = loader.weight(module);
        weights.put(module, weight);
        return weight;
    }
}
