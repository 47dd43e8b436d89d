package dev.loranative.lora.merge;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsStream;
import dev.loranative.checkpoint.TensorEntry;
import java.util.List;

/** A model in 16 or 32 bits: the tensors are the checkpoint's. */
record CheckpointSource(Checkpoint checkpoint) implements WeightSource {

    @Override
    public List<Shard> shards() {
        return checkpoint.files().stream()
                .map(file -> new Shard(
                        checkpoint
                                .directory()
                                .toAbsolutePath()
                                .relativize(file.path().toAbsolutePath())
                                .toString(),
                        file.entries().stream().map(TensorEntry::name).toList(),
                        file.metadata()))
                .toList();
    }

    @Override
    public ElementType type(String name) {
        return checkpoint.entry(name).type();
    }

    @Override
    public List<Long> shape(String name) {
        return checkpoint.entry(name).shape();
    }

    @Override
    public boolean isFloat(String name) {
        return checkpoint.isFloat(name);
    }

    @Override
    public boolean isRounded(String name) {
        return false;
    }

    @Override
    public void read(String name, long first, float[] into, int count) {
        checkpoint.read(name, first, into, count);
    }

    @Override
    public void copy(String name, SafetensorsStream.Sink sink) {
        sink.copy(checkpoint, name);
    }
}
