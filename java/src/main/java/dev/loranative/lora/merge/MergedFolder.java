package dev.loranative.lora.merge;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsStream;
import dev.loranative.checkpoint.TensorPlan;
import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Writes the folder of a merged model: weights, index, config.json, and what belongs to the base model's tokenizer. */
final class MergedFolder {

    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    private static final String CONFIG = "config.json";
    private static final String INDEX = "model.safetensors.index.json";

    private final Path model;
    private final Path folder;
    private final WeightSource base;
    private final RowBuffer buffer = new RowBuffer();

    /** @param folder where to write; empty */
    MergedFolder(Path model, Path folder, WeightSource base) {
        this.model = model;
        this.folder = folder;
        this.base = base;
    }

    /** Told about every tensor before it is written: bytes so far. */
    interface Progress {
        void at(String tensor, long bytesDone);
    }

    /**
     * @throws UserException if the disk refuses, or a value is no number any more
     */
    void write(MergePlan plan, Optional<ElementType> type, Progress progress) {
        copyCompanions();
        writeConfig(plan, type);
        long done = 0;
        for (MergePlan.Shard shard : plan.shards()) {
            writeShard(shard, done, progress);
            done += shard.bytes();
        }
        if (plan.shards().size() > 1) {
            writeIndex(plan);
        }
    }

    private void writeShard(MergePlan.Shard shard, long before, Progress progress) {
        Map<String, MergedTensor> byName =
                shard.tensors().stream().collect(Collectors.toMap(MergedTensor::name, Function.identity()));
        Map<String, String> metadata = new HashMap<>(shard.metadata());
        metadata.putIfAbsent("format", "pt");
        List<TensorPlan> plans =
                shard.tensors().stream().map(MergedTensor::plan).toList();
        long[] done = {before};
        SafetensorsStream.write(folder.resolve(shard.file()), plans, metadata, (planned, sink) -> {
            progress.at(planned.name(), done[0]);
            write(byName.get(planned.name()), sink);
            done[0] += planned.bytes();
        });
    }

    private void write(MergedTensor tensor, SafetensorsStream.Sink sink) {
        boolean asStored = tensor.updates().isEmpty()
                && !base.isRounded(tensor.source())
                && tensor.plan().type() == base.type(tensor.source());
        if (asStored) {
            base.copy(tensor.source(), sink);
            return;
        }
        tensor.forEachPiece(base, buffer, (first, count, values) -> {
            int length = count * tensor.columns();
            requireFinite(tensor, first, values, length);
            sink.floats(values, length);
        });
    }

    private static void requireFinite(MergedTensor tensor, long firstRow, float[] values, int length) {
        for (int i = 0; i < length; i++) {
            float value = values[i];
            boolean overflows = tensor.plan().type() == ElementType.F16 && Math.abs(value) >= 65520
                    || tensor.plan().type() == ElementType.BF16 && Math.abs(value) >= 3.3961776e38f;
            if (!Float.isFinite(value) || overflows) {
                long row = firstRow + i / tensor.columns();
                throw UserException.failed(
                        "the merged " + tensor.name() + " is " + value + " at row " + row + ", column "
                                + i % tensor.columns()
                                + (overflows
                                        ? ", beyond the range of "
                                                + tensor.plan().type()
                                        : ""),
                        overflows
                                ? "merge with --dtype bfloat16 or float32"
                                : "the base model or the adapter is damaged, or the training diverged");
            }
        }
    }

    private void writeIndex(MergePlan plan) {
        Map<String, String> files = new TreeMap<>();
        long parameters = 0;
        for (MergePlan.Shard shard : plan.shards()) {
            for (MergedTensor tensor : shard.tensors()) {
                files.put(tensor.name(), shard.file().replace('\\', '/'));
                parameters += tensor.plan().elements();
            }
        }
        ObjectNode index = JSON.createObjectNode();
        index.putObject("metadata").put("total_parameters", parameters).put("total_size", plan.bytes());
        ObjectNode map = index.putObject("weight_map");
        files.forEach(map::put);
        AtomicFiles.writeString(folder.resolve(INDEX), JSON.writeValueAsString(index) + "\n");
    }

    private void writeConfig(MergePlan plan, Optional<ElementType> type) {
        Path file = model.resolve(CONFIG);
        ObjectNode config;
        try {
            JsonNode read = JSON.readTree(Files.readString(file));
            config = (ObjectNode) read;
        } catch (IOException | JacksonException e) {
            throw UserException.badInput("cannot read " + file + ": " + e.getMessage(), "restore the file");
        }
        if (plan.untied()) {
            config.put("tie_word_embeddings", false);
        }
        type.ifPresent(asked -> {
            boolean old = config.has("torch_dtype");
            if (old) {
                config.put("torch_dtype", torchName(asked));
            }
            if (!old || config.has("dtype")) {
                config.put("dtype", torchName(asked));
            }
        });
        config.remove("quantization_config");
        AtomicFiles.writeString(folder.resolve(CONFIG), JSON.writeValueAsString(config) + "\n");
    }

    static String torchName(ElementType type) {
        return switch (type) {
            case F32 -> "float32";
            case F16 -> "float16";
            case BF16 -> "bfloat16";
            default -> throw new IllegalArgumentException(type + " is no type of a model");
        };
    }

    /** Tokenizer, chat templates, generation settings, code and licences: everything that is text and no weights. */
    private void copyCompanions() {
        each(model, file -> {
            String name = file.getFileName().toString();
            if (Files.isDirectory(file)) {
                if (name.equals("additional_chat_templates")) {
                    each(file, template -> copy(template, folder.resolve(name).resolve(template.getFileName())));
                }
            } else if (isCompanion(name)) {
                copy(file, folder.resolve(name));
            }
        });
    }

    private static boolean isCompanion(String name) {
        boolean json = name.endsWith(".json")
                && !name.equals(CONFIG)
                && !name.endsWith(".index.json")
                && !name.startsWith("adapter_");
        return json
                || name.endsWith(".jinja")
                || name.endsWith(".model")
                || name.endsWith(".tiktoken")
                || name.endsWith(".txt")
                || name.endsWith(".py")
                || name.startsWith("LICENSE")
                || name.startsWith("NOTICE");
    }

    private static void each(Path directory, Consumer<Path> action) {
        try (Stream<Path> children = Files.list(directory)) {
            children.sorted().forEach(action);
        } catch (IOException e) {
            throw UserException.badInput(
                    "cannot list " + directory + ": " + e.getMessage(), "check that this user may read the folder");
        }
    }

    /** What a link leads to, not the link: the hub's cache is made of links. */
    private static void copy(Path from, Path to) {
        try {
            AtomicFiles.writeBytes(to, Files.readAllBytes(from));
        } catch (IOException e) {
            throw UserException.badInput(
                    "cannot read " + from + ": " + e.getMessage(), "check that this user may read the file");
        }
    }
}
