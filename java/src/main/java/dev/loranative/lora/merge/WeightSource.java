package dev.loranative.lora.merge;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsStream;
import java.util.List;
import java.util.Map;

/** The tensors of a base model as numbers, whatever they are stored as. */
public interface WeightSource {

    /** A file of the model. @param metadata its {@code __metadata__} */
    record Shard(String file, List<String> tensors, Map<String, String> metadata) {}

    /** Every tensor of the model, by the file that holds it; a tensor may stand for several stored ones. */
    List<Shard> shards();

    /** The type that a tensor has in a model whose type nobody asked to change. */
    ElementType type(String name);

    List<Long> shape(String name);

    /** Whether {@link #read} can give the tensor. */
    boolean isFloat(String name);

    /** Whether {@link #type} cannot hold exactly what {@link #read} gives, as with weights that were quantised. */
    boolean isRounded(String name);

    /** Elements [first, first + count), row major, into the start of an array. */
    void read(String name, long first, float[] into, int count);

    /** All bytes of a tensor as they are stored, in {@link #type}; only where {@link #isRounded} is false. */
    void copy(String name, SafetensorsStream.Sink sink);
}
