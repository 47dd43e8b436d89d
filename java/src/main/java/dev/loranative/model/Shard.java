package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.TensorEntry;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/**
 * One file of a checkpoint that is written.
 *
 * @param file its name
 * @param tensors of the input that go into it
 */
record Shard(String file, List<String> tensors) {

    private static final String SINGLE = "model.safetensors";

    Shard {
        tensors = List.copyOf(tensors);
    }

    /**
     * @param maxBytes of a file, unless one tensor alone is larger; empty: divided as the input is
     */
    static List<Shard> of(Checkpoint checkpoint, QuantizationPlan plan, OptionalLong maxBytes) {
        List<String> names = checkpoint.names().stream()
                .filter(name -> !plan.stored().isPart(name))
                .toList();
        return maxBytes.isPresent()
                ? bySize(checkpoint, plan, names, maxBytes.getAsLong())
                : asTheInput(checkpoint, plan, names);
    }

    private static List<Shard> asTheInput(Checkpoint checkpoint, QuantizationPlan plan, List<String> names) {
        Map<Path, List<String>> files = new LinkedHashMap<>();
        for (String name : names) {
            Path file = checkpoint.entry(name).file();
            files.computeIfAbsent(file, _ -> new ArrayList<>()).addAll(withParts(name, plan));
        }
        if (files.size() == 1) {
            return List.of(new Shard(SINGLE, files.values().iterator().next()));
        }
        List<Shard> shards = new ArrayList<>();
        files.forEach((file, tensors) -> shards.add(new Shard(file.getFileName().toString(), tensors)));
        return shards;
    }

    private static List<Shard> bySize(Checkpoint checkpoint, QuantizationPlan plan, List<String> names, long maxBytes) {
        List<List<String>> files = new ArrayList<>();
        long bytes = 0;
        for (String name : names) {
            TensorEntry entry = checkpoint.entry(name);
            long next = plan.writtenBytes(entry);
            if (files.isEmpty() || bytes + next > maxBytes) {
                files.add(new ArrayList<>());
                bytes = 0;
            }
            files.getLast().addAll(withParts(name, plan));
            bytes += next;
        }
        if (files.size() == 1) {
            return List.of(new Shard(SINGLE, files.getFirst()));
        }
        List<Shard> shards = new ArrayList<>();
        for (int i = 0; i < files.size(); i++) {
            shards.add(new Shard(
                    String.format(java.util.Locale.ROOT, "model-%05d-of-%05d.safetensors", i + 1, files.size()),
                    files.get(i)));
        }
        return shards;
    }

    /** A weight that is in 4 bits already goes with what stands beside it. */
    private static List<String> withParts(String name, QuantizationPlan plan) {
        List<String> tensors = new ArrayList<>(List.of(name));
        tensors.addAll(plan.stored().partsOf(name));
        return tensors;
    }
}
