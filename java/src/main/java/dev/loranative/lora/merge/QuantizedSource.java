package dev.loranative.lora.merge;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsStream;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.device.Device;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.ModelFiles;
import dev.loranative.model.WeightRows;
import dev.loranative.tensor.Ops;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A model with weights in 4 bits, from the file or quantised on loading: these are given as the floats that the products
 * compute with, all others as they are stored.
 */
final class QuantizedSource implements WeightSource, AutoCloseable {

    private final ModelFiles files;
    private final CheckpointSource stored;
    private final Device device;
    private final Ops ops;
    private final LoadedModel model;
    private final Map<String, WeightRows> quantized = new HashMap<>();

    QuantizedSource(Path folder, QuantizationOptions options, MergeDevice machine) {
        this.files = ModelFiles.openWithExtras(folder, options);
        this.stored = new CheckpointSource(files.checkpoint());
        this.device = machine.open();
        this.ops = new Ops(device);
        this.model = files.load(device);
        for (LinearModule module : model.tree().modules()) {
            boolean tiedHead = module.kind() == Kind.HEAD && files.config().tieWordEmbeddings();
            if (module.kind() != Kind.EMBEDDING && !tiedHead) {
                String name = module.name() + ".weight";
                if (files.isQuantized(name)) {
                    quantized.put(name, model.weight(module));
                }
            }
        }
    }

    @Override
    public List<Shard> shards() {
        return stored.shards().stream()
                .map(shard -> new Shard(
                        shard.file(),
                        shard.tensors().stream()
                                .flatMap(name -> files.contents(name).stream())
                                .toList(),
                        shard.metadata()))
                .filter(shard -> !shard.tensors().isEmpty())
                .toList();
    }

    @Override
    public ElementType type(String name) {
        return quantized.containsKey(name) ? ElementType.BF16 : stored.type(name);
    }

    @Override
    public List<Long> shape(String name) {
        WeightRows rows = quantized.get(name);
        return rows == null ? stored.shape(name) : List.of(rows.out(), rows.in());
    }

    @Override
    public boolean isFloat(String name) {
        return quantized.containsKey(name) || stored.isFloat(name);
    }

    @Override
    public boolean isRounded(String name) {
        return quantized.containsKey(name);
    }

    /** Of a quantised weight whole rows only. */
    @Override
    public void read(String name, long first, float[] into, int count) {
        WeightRows rows = quantized.get(name);
        if (rows == null) {
            stored.read(name, first, into, count);
            return;
        }
        int columns = Math.toIntExact(rows.in());
        float[] values = rows.read(ops, first / columns, count / columns);
        System.arraycopy(values, 0, into, 0, count);
    }

    @Override
    public void copy(String name, SafetensorsStream.Sink sink) {
        stored.copy(name, sink);
    }

    @Override
    public void close() {
        // On the CPU the weights are the mapped files: unmapped after the device is gone.
        device.close();
        model.close();
    }
}
