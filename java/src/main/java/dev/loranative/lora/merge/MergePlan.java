package dev.loranative.lora.merge;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.TensorPlan;
import dev.loranative.errors.UserException;
import dev.loranative.lora.AdapterModule;
import dev.loranative.lora.AdapterTensors;
import dev.loranative.lora.FullTensor;
import dev.loranative.lora.TokenRows;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Every tensor of a merged model and how it comes about, by the file that will hold it.
 *
 * @param untied whether the head was tied to the embedding and no longer is, because their values part
 */
record MergePlan(List<Shard> shards, boolean untied) {

    static final String EMBEDDING = "model.embed_tokens.weight";
    static final String HEAD = "lm_head.weight";

    /** A file of the merged model. */
    record Shard(String file, List<MergedTensor> tensors, Map<String, String> metadata) {
        Shard {
            tensors = List.copyOf(tensors);
        }

        long bytes() {
            return tensors.stream().mapToLong(tensor -> tensor.plan().bytes()).sum();
        }
    }

    MergePlan {
        shards = List.copyOf(shards);
    }

    List<MergedTensor> tensors() {
        return shards.stream().flatMap(shard -> shard.tensors().stream()).toList();
    }

    /** Bytes of all tensors. */
    long bytes() {
        return shards.stream().mapToLong(Shard::bytes).sum();
    }

    /**
     * @param tied whether the head is the embedding
     * @param type of all tensors of floats; empty: each keeps its own
     * @throws UserException if the adapter changes something that the model does not have
     */
    static MergePlan of(WeightSource base, AdapterTensors adapter, boolean tied, Optional<ElementType> type) {
        return new Builder(base, adapter, tied, type).build();
    }

    private static final class Builder {

        private final WeightSource base;
        private final boolean tied;
        private final Optional<ElementType> type;
        private final Map<String, List<TensorUpdate>> updates = new LinkedHashMap<>();
        private final Set<String> names;

        Builder(WeightSource base, AdapterTensors adapter, boolean tied, Optional<ElementType> type) {
            this.base = base;
            this.tied = tied;
            this.type = type;
            this.names = base.shards().stream()
                    .flatMap(shard -> shard.tensors().stream())
                    .collect(Collectors.toSet());
            adapter.full().forEach(this::replace);
            adapter.modules().forEach(this::adapt);
            adapter.tokens().forEach(this::replaceRows);
        }

        private void replace(FullTensor tensor) {
            requireShape(tensor.name(), tensor.shape());
            add(tensor.name(), new TensorUpdate.Replacement(tensor));
        }

        private void adapt(AdapterModule module) {
            String name = module.module().name() + ".weight";
            requireShape(name, List.of(module.module().out(), module.module().in()));
            add(name, new TensorUpdate.LowRank(module));
            module.bias().ifPresent(bias -> {
                String baseBias = module.module().name() + ".bias";
                if (!names.contains(baseBias)) {
                    throw UserException.badInput(
                            "the adapter has a lora_bias for " + module.name()
                                    + ", which has no bias in the base model: a merged model has no place for it",
                            "use the adapter unmerged, or train without lora_bias");
                }
                add(baseBias, new TensorUpdate.BiasShift(bias, module.scaling()));
            });
        }

        private void replaceRows(TokenRows rows) {
            String name = rows.module() + ".weight";
            List<Long> shape = requireShape(name, null);
            for (int index : rows.indices()) {
                if (index < 0 || index >= shape.getFirst()) {
                    throw UserException.badInput(
                            "the adapter replaces row " + index + " of " + name + ", which has " + shape.getFirst()
                                    + " rows",
                            "the adapter is for another model");
                }
            }
            add(name, new TensorUpdate.RowReplacement(rows));
        }

        private List<Long> requireShape(String name, List<Long> expected) {
            String source = source(name);
            if (!names.contains(source)) {
                throw UserException.badInput(
                        "the adapter changes " + name + ", which the base model does not have",
                        "the adapter is for another model");
            }
            List<Long> shape = base.shape(source);
            if (expected != null && !shape.equals(expected)) {
                throw UserException.badInput(
                        "the adapter's " + name + " is " + expected + ", the base model's is " + shape,
                        "the adapter is for another model");
            }
            return shape;
        }

        /** A tied head begins as the embedding, also where the file holds a second copy. */
        private String source(String name) {
            return tied && name.equals(HEAD) ? EMBEDDING : name;
        }

        private void add(String name, TensorUpdate update) {
            updates.computeIfAbsent(name, _ -> new ArrayList<>()).add(update);
        }

        private List<TensorUpdate> updates(String name) {
            return updates.getOrDefault(name, List.of());
        }

        MergePlan build() {
            boolean untied = tied && parts();
            List<TensorUpdate> head = headUpdates();
            List<Shard> shards = new ArrayList<>();
            for (WeightSource.Shard shard : base.shards()) {
                List<MergedTensor> tensors = new ArrayList<>();
                for (String name : shard.tensors()) {
                    tensors.add(tensor(name, tied && name.equals(HEAD) ? head : updates(name)));
                    if (untied && name.equals(EMBEDDING) && !names.contains(HEAD)) {
                        tensors.add(tensor(HEAD, head));
                    }
                }
                shards.add(new Shard(shard.file(), tensors, shard.metadata()));
            }
            return new MergePlan(shards, untied);
        }

        /** What replaces a tied embedding replaces the head; what a low-rank update adds to it does not reach the head. */
        private List<TensorUpdate> headUpdates() {
            List<TensorUpdate> all = new ArrayList<>(updates(EMBEDDING).stream()
                    .filter(update -> !(update instanceof TensorUpdate.LowRank))
                    .toList());
            all.addAll(updates(HEAD));
            return all;
        }

        /** Whether a tied head ends with other values than the embedding. */
        private boolean parts() {
            boolean embeddingAlone = updates(EMBEDDING).stream().anyMatch(TensorUpdate.LowRank.class::isInstance);
            return embeddingAlone || !updates(HEAD).isEmpty() && !isSameReplacement();
        }

        /** modules_to_save may name both ends of a tied pair. */
        private boolean isSameReplacement() {
            List<TensorUpdate> embedding = updates(EMBEDDING);
            List<TensorUpdate> head = updates(HEAD);
            return embedding.size() == 1
                    && head.size() == 1
                    && embedding.getFirst() instanceof TensorUpdate.Replacement(FullTensor one)
                    && head.getFirst() instanceof TensorUpdate.Replacement(FullTensor other)
                    && Arrays.equals(one.values(), other.values());
        }

        private MergedTensor tensor(String name, List<TensorUpdate> changes) {
            String source = source(name);
            ElementType own = base.type(source);
            ElementType target = base.isFloat(source) ? type.orElse(own) : own;
            boolean exact = target == ElementType.F32 || changes.isEmpty() && target == own && !base.isRounded(source);
            return new MergedTensor(
                    new TensorPlan(name, target, base.shape(source)), source, changes, base.isFloat(source) && !exact);
        }
    }
}
