package dev.loranative.model;

import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModelConfig.QkNorm;
import java.util.ArrayList;
import java.util.List;

/**
 * The modules of a model that have weights, in the order of its computation, under the names of its checkpoint.
 *
 * @param modelType {@code model_type} of config.json
 * @param modules the linear ones: embedding first, head last; the head is listed also when it is tied to the embedding
 * @param norms layer by layer, the final one last
 * @param tiedHead whether the head has no weight but the embedding's
 */
public record ModuleTree(String modelType, List<LinearModule> modules, List<NormModule> norms, boolean tiedHead) {

    public ModuleTree {
        modules = List.copyOf(modules);
        norms = List.copyOf(norms);
    }

    /** Linear modules alone, with a head of its own. */
    public ModuleTree(String modelType, List<LinearModule> modules) {
        this(modelType, modules, List.of(), false);
    }

    /** The tree of a configuration; no weights are needed. */
    public static ModuleTree of(ModelConfig config) {
        return new ModuleTree(
                config.modelType(), new Builder(config).build(), norms(config), config.tieWordEmbeddings());
    }

    private static List<NormModule> norms(ModelConfig config) {
        TensorNames names = TensorNames.of(config.family());
        List<NormModule> norms = new ArrayList<>();
        long hidden = config.hiddenSize();
        for (int layer = 0; layer < config.layers(); layer++) {
            norms.add(new NormModule(names.inputNorm(layer), layer, hidden));
            norms.add(new NormModule(names.middleNorm(layer), layer, hidden));
            if (config.qkNorm() != QkNorm.NONE) {
                boolean full = config.qkNorm() == QkNorm.FULL;
                norms.add(new NormModule(names.queryNorm(layer), layer, full ? config.queryWidth() : config.headDim()));
                norms.add(new NormModule(names.keyNorm(layer), layer, full ? config.keyWidth() : config.headDim()));
            }
        }
        norms.add(new NormModule(names.finalNorm(), -1, hidden));
        return norms;
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
