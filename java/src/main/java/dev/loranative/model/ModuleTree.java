package dev.loranative.model;

import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModelConfig.QkNorm;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The linear modules of a model in the order of its computation, under the names of its checkpoint.
 *
 * @param modelType {@code model_type} of config.json
 * @param modules embedding first, head last; the head is listed also when it is tied to the embedding
 * @param tensors shapes of all weights and biases by name, those of norms included; the head's also when it is tied
 * @param tiedHead whether the head has no tensor but the embedding's
 */
public record ModuleTree(
        String modelType, List<LinearModule> modules, Map<String, List<Long>> tensors, boolean tiedHead) {

    public ModuleTree {
        modules = List.copyOf(modules);
        tensors = Collections.unmodifiableMap(new LinkedHashMap<>(tensors));
    }

    /** A tree without norms, whose head is its own. */
    public ModuleTree(String modelType, List<LinearModule> modules) {
        this(modelType, modules, tensorsOf(modules), false);
    }

    /** The tree of a configuration; no weights are needed. */
    public static ModuleTree of(ModelConfig config) {
        List<LinearModule> modules = new Builder(config).build();
        Map<String, List<Long>> tensors = tensorsOf(modules);
        addNorms(tensors, config);
        return new ModuleTree(config.modelType(), modules, tensors, config.tieWordEmbeddings());
    }

    private static Map<String, List<Long>> tensorsOf(List<LinearModule> modules) {
        Map<String, List<Long>> tensors = new LinkedHashMap<>();
        for (LinearModule module : modules) {
            tensors.put(module.name() + ".weight", List.of(module.out(), module.in()));
            if (module.bias()) {
                tensors.put(module.name() + ".bias", List.of(module.out()));
            }
        }
        return tensors;
    }

    private static void addNorms(Map<String, List<Long>> tensors, ModelConfig config) {
        TensorNames names = TensorNames.of(config.family());
        List<Long> hidden = List.of((long) config.hiddenSize());
        for (int layer = 0; layer < config.layers(); layer++) {
            tensors.put(names.inputNorm(layer) + ".weight", hidden);
            tensors.put(names.middleNorm(layer) + ".weight", hidden);
            if (config.qkNorm() != QkNorm.NONE) {
                boolean full = config.qkNorm() == QkNorm.FULL;
                long query = full ? config.queryWidth() : config.headDim();
                long key = full ? config.keyWidth() : config.headDim();
                tensors.put(names.queryNorm(layer) + ".weight", List.of(query));
                tensors.put(names.keyNorm(layer) + ".weight", List.of(key));
            }
        }
        tensors.put(names.finalNorm() + ".weight", hidden);
    }

    private static final class Builder {

        private final ModelConfig config;
        private final TensorNames names;
        /** The spelling that transformers uses in memory; for most families the same. */
        private final TensorNames usual = new TensorNames(Family.MoeNames.USUAL);

        private final List<LinearModule> modules = new ArrayList<>();

        Builder(ModelConfig config) {
            this.config = config;
            this.names = TensorNames.of(config.family());
        }

        List<LinearModule> build() {
            long hidden = config.hiddenSize();
            add(names.embedding(), Kind.EMBEDDING, -1, config.vocabSize(), hidden, false);
            for (int layer = 0; layer < config.layers(); layer++) {
                add(names.query(layer), Kind.ATTENTION, layer, config.queryWidth(), hidden, config.qkvBias());
                add(names.key(layer), Kind.ATTENTION, layer, config.keyWidth(), hidden, config.qkvBias());
                add(names.value(layer), Kind.ATTENTION, layer, config.keyWidth(), hidden, config.qkvBias());
                add(names.output(layer), Kind.ATTENTION, layer, hidden, config.queryWidth(), config.oBias());
                if (config.isSparse(layer)) {
                    addExperts(layer, config.moe().orElseThrow());
                } else {
                    long inner = config.intermediateSize();
                    add(names.mlpGate(layer), Kind.MLP, layer, inner, hidden, config.mlpBias());
                    add(names.mlpUp(layer), Kind.MLP, layer, inner, hidden, config.mlpBias());
                    add(names.mlpDown(layer), Kind.MLP, layer, hidden, inner, config.mlpBias());
                }
            }
            add(names.head(), Kind.HEAD, -1, config.vocabSize(), hidden, false);
            return modules;
        }

        private void addExperts(int layer, MoeConfig moe) {
            long hidden = config.hiddenSize();
            add(names.router(layer), usual.router(layer), Kind.ROUTER, layer, -1, moe.experts(), hidden, false);
            for (int expert = 0; expert < moe.experts(); expert++) {
                long inner = moe.intermediateSize();
                addExpert(
                        names.expertGate(layer, expert), usual.expertGate(layer, expert), layer, expert, inner, hidden);
                addExpert(names.expertUp(layer, expert), usual.expertUp(layer, expert), layer, expert, inner, hidden);
                addExpert(
                        names.expertDown(layer, expert), usual.expertDown(layer, expert), layer, expert, hidden, inner);
            }
            if (moe.sharedIntermediateSize() > 0) {
                long inner = moe.sharedIntermediateSize();
                add(names.sharedGate(layer), Kind.MLP, layer, inner, hidden, false);
                add(names.sharedUp(layer), Kind.MLP, layer, inner, hidden, false);
                add(names.sharedDown(layer), Kind.MLP, layer, hidden, inner, false);
                // Not a router: it weighs one expert and chooses none.
                add(names.sharedExpertGate(layer), Kind.MLP, layer, 1, hidden, false);
            }
        }

        private void addExpert(String name, String alias, int layer, int expert, long out, long in) {
            add(name, alias, Kind.EXPERT, layer, expert, out, in, false);
        }

        private void add(String name, Kind kind, int layer, long out, long in, boolean bias) {
            add(name, name, kind, layer, -1, out, in, bias);
        }

        private void add(String name, String alias, Kind kind, int layer, int expert, long out, long in, boolean bias) {
            List<String> aliases = alias.equals(name) ? List.of() : List.of(alias);
            modules.add(new LinearModule(name, kind, layer, expert, out, in, bias, aliases));
        }
    }
}
