package dev.loranative.lora;

import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.errors.UserException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The two files of an adapter while they are read, and what there is to complain about in them. */
final class AdapterSource {

    private final Path file;
    private final SafetensorsFile tensors;
    private final AdapterConfig config;
    private final ZeroPadding padding;
    private final List<String> warnings;

    AdapterSource(SafetensorsFile tensors, AdapterConfig config) {
        this.file = tensors.path();
        this.tensors = tensors;
        this.config = config;
        this.padding = ZeroPadding.read(tensors.metadata(), config.lora().useRslora(), file.toString());
        this.warnings = new ArrayList<>(config.warnings());
    }

    AdapterConfig config() {
        return config;
    }

    ZeroPadding padding() {
        return padding;
    }

    List<TensorEntry> entries() {
        return List.copyOf(tensors.entries());
    }

    void warn(String text) {
        warnings.add(file + ": " + text);
    }

    List<String> warnings() {
        return warnings;
    }

    UserException bad(String problem, String hint) {
        return UserException.badInput(file + ": " + problem, hint);
    }

    UserException incomplete(String module, PeftName.Part part) {
        return bad(module + " has no " + PeftName.label(part), "the file is incomplete: write or copy it again");
    }

    UserException otherRank(String tensor, long rank, int expected) {
        return bad(
                tensor + " has the rank " + rank + ", but " + AdapterConfig.FILE + " says " + expected,
                "the two files belong to different adapters, or r or rank_pattern was changed");
    }

    /** @throws UserException if the values hold one that is no number */
    float[] finite(TensorEntry entry) {
        float[] values = FloatTensors.read(tensors, entry);
        for (int i = 0; i < values.length; i++) {
            if (!Float.isFinite(values[i])) {
                throw bad(
                        entry.name() + " holds " + values[i] + " at element " + i,
                        "the adapter is damaged, or its training diverged: use an earlier checkpoint");
            }
        }
        return values;
    }

    /** The values of a tensor that must have this shape. */
    float[] read(TensorEntry entry, List<Long> shape, String why) {
        requireShape(entry, shape, why);
        return finite(entry);
    }

    void requireShape(TensorEntry entry, List<Long> shape, String why) {
        if (!entry.shape().equals(shape) || shape.contains(0L)) {
            throw bad(
                    entry.name() + " has the shape " + entry.shape() + ", but must have " + shape + ": " + why,
                    "the adapter is for another model, or " + AdapterConfig.FILE + " for another adapter");
        }
    }
}
