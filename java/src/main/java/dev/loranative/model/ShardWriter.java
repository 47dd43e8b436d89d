package dev.loranative.model;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.checkpoint.SafetensorsWriter;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Writes the files of a checkpoint, and the index that says what is where. */
final class ShardWriter {

    private static final JsonMapper JSON = JsonMapper.shared();
    private static final String INDEX = "model.safetensors.index.json";

    private final Path folder;
    private final Map<String, String> files = new TreeMap<>();
    private final Set<String> names = new HashSet<>();
    private long totalBytes;

    ShardWriter(Path folder) {
        this.folder = folder;
    }

    void write(String file, List<SafetensorsWriter.Tensor> tensors, Map<String, String> metadata) {
        SafetensorsWriter.write(folder.resolve(file), tensors, metadata);
        names.add(file);
        for (SafetensorsWriter.Tensor tensor : tensors) {
            files.put(tensor.name(), file);
            totalBytes += tensor.data().byteSize();
        }
    }

    /** Bytes of all tensors so far. */
    long totalBytes() {
        return totalBytes;
    }

    /** One file needs no index. */
    void writeIndex() {
        if (names.size() < 2) {
            return;
        }
        ObjectNode index = JSON.createObjectNode();
        index.putObject("metadata").put("total_size", totalBytes);
        ObjectNode map = index.putObject("weight_map");
        files.forEach(map::put);
        AtomicFiles.writeString(
                folder.resolve(INDEX), JSON.writerWithDefaultPrettyPrinter().writeValueAsString(index) + "\n");
    }
}
