package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * All tensors of a model's folder, whether they lie in one safetensors file or in shards with an index.
 *
 * <p>As in transformers, {@code model.safetensors} is preferred to {@code model.safetensors.index.json}. A folder with
 * neither may hold one safetensors file of any other name.
 */
public final class Checkpoint implements AutoCloseable {

    private static final String SINGLE = "model.safetensors";
    private static final String INDEX = "model.safetensors.index.json";

    private final Path directory;
    private final List<SafetensorsFile> files;
    private final Map<String, SafetensorsFile> owners;

    private Checkpoint(Path directory, List<SafetensorsFile> files, Map<String, SafetensorsFile> owners) {
        this.directory = directory;
        this.files = files;
        this.owners = owners;
    }

    /**
     * Opens and checks every file of the checkpoint; data is mapped, not read.
     *
     * @param directory a model's folder as on the hub
     * @throws UserException if there is no such folder, nothing in it to read, a file or the index is broken, a shard
     *     is missing, or two shards hold a tensor of the same name
     */
    public static Checkpoint open(Path directory) {
        return open(directory, Map.of());
    }

    /**
     * As {@link #open(Path)}; tensors that hold several are read as these.
     *
     * @param stacks by name, those that the model knows; a tensor of that name but another shape stays what it is
     */
    public static Checkpoint open(Path directory, Map<String, TensorStack> stacks) {
        if (!Files.isDirectory(directory)) {
            throw UserException.badInput(
                    directory + (Files.exists(directory) ? " is not a folder" : " does not exist"),
                    "give the folder that holds config.json and the *.safetensors files; nothing is downloaded");
        }
        Path single = directory.resolve(SINGLE);
        Path index = directory.resolve(INDEX);
        if (Files.exists(single)) {
            return open(directory, List.of(single), Map.of(), stacks);
        }
        if (Files.exists(index)) {
            Map<String, Path> shards = ShardIndex.read(index);
            return open(directory, new TreeSet<>(shards.values()).stream().toList(), shards, stacks);
        }
        return open(directory, List.of(onlySafetensorsIn(directory)), Map.of(), stacks);
    }

    private static Path onlySafetensorsIn(Path directory) {
        List<Path> found;
        try (Stream<Path> children = Files.list(directory)) {
            found = children.filter(child -> child.getFileName().toString().endsWith(".safetensors"))
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new UserException(
                    "cannot list " + directory + ": " + e.getMessage(),
                    "check that the folder may be read by this user",
                    UserException.BAD_INPUT,
                    e);
        }
        List<Path> models = found.stream()
                .filter(file -> !file.getFileName().toString().startsWith("adapter_"))
                .toList();
        if (models.size() == 1) {
            return models.getFirst();
        }
        if (models.size() > 1) {
            throw UserException.badInput(
                    directory + " holds " + models.size() + " safetensors files but no " + INDEX,
                    "add the index that belongs to the shards");
        }
        if (!found.isEmpty()) {
            throw UserException.badInput(
                    directory + " holds an adapter (" + found.getFirst().getFileName() + "), not a model",
                    "give the folder of the base model here");
        }
        throw UserException.badInput(
                directory + " holds no *.safetensors file",
                "only safetensors is read, not pytorch_model.bin or GGUF; save the model as safetensors first");
    }

    private static Checkpoint open(
            Path directory, List<Path> paths, Map<String, Path> expected, Map<String, TensorStack> stacks) {
        List<SafetensorsFile> files = new ArrayList<>();
        try {
            paths.forEach(path -> files.add(SafetensorsFile.open(path)));
            requireAsIndexed(directory, owners(files), expected);
            List<SafetensorsFile> divided =
                    files.stream().map(file -> file.divide(stacks)).toList();
            return new Checkpoint(directory, divided, Collections.unmodifiableMap(owners(divided)));
        } catch (RuntimeException e) {
            files.forEach(SafetensorsFile::close);
            throw e;
        }
    }

    private static Map<String, SafetensorsFile> owners(List<SafetensorsFile> files) {
        Map<String, SafetensorsFile> owners = new LinkedHashMap<>();
        for (SafetensorsFile file : files) {
            for (TensorEntry entry : file.entries()) {
                SafetensorsFile other = owners.put(entry.name(), file);
                if (other != null) {
                    throw UserException.badInput(
                            "tensor " + entry.name() + " is both in " + other.path() + " and in " + file.path(),
                            "the shards do not belong together; copy or download the model again");
                }
            }
        }
        return owners;
    }

    private static void requireAsIndexed(
            Path directory, Map<String, SafetensorsFile> owners, Map<String, Path> expected) {
        expected.forEach((name, path) -> {
            SafetensorsFile owner = owners.get(name);
            if (owner == null || !owner.path().equals(path)) {
                throw UserException.badInput(
                        directory.resolve(INDEX) + " says that tensor " + name + " is in " + path.getFileName()
                                + ", but it is " + (owner == null ? "in no shard" : "in " + owner.path()),
                        "the index does not belong to the shards; copy or download the model again");
            }
        });
    }

    public Path directory() {
        return directory;
    }

    /** The names of all tensors, in the order of the files. */
    public Set<String> names() {
        return owners.keySet();
    }

    public boolean contains(String name) {
        return owners.containsKey(name);
    }

    /**
     * Type, shape and place of a tensor.
     *
     * @throws UserException if the checkpoint has no such tensor
     */
    public TensorEntry entry(String name) {
        return owner(name).find(name).orElseThrow();
    }

    /**
     * The bytes of a tensor as in {@link SafetensorsFile#data}: read-only, little endian, perhaps unaligned, alive
     * until {@link #close()}.
     *
     * @throws UserException if the checkpoint has no such tensor
     */
    public MemorySegment data(String name) {
        return owner(name).data(name);
    }

    /**
     * Lets the system take the memory of a part of a tensor that has been read and is not needed soon; reading it again
     * is slower, nothing else.
     *
     * @param data a slice of what {@link #data} gave
     */
    public static void release(MemorySegment data) {
        if (data.isMapped()) {
            data.unload();
        }
    }

    /** Whether a tensor holds floats that {@link #read} can give. */
    public boolean isFloat(String name) {
        return FloatCodec.supports(entry(name).type());
    }

    /**
     * Elements [first, first + count) of a tensor of floats, row major; F16 and BF16 are widened without loss.
     *
     * @param into filled from its start
     */
    public void read(String name, long first, float[] into, int count) {
        FloatCodec.decode(data(name), entry(name).type(), first, into, count);
    }

    /** The files that hold the tensors, in their order. */
    public List<SafetensorsFile> files() {
        return files;
    }

    /** As {@link SafetensorsFile#release}. */
    public void release(String name) {
        owner(name).release(name);
    }

    /** Bytes of all tensors together. */
    public long totalBytes() {
        return files.stream()
                .flatMap(file -> file.entries().stream())
                .mapToLong(TensorEntry::bytes)
                .sum();
    }

    /** What tells this model from others, config.json included. */
    public ContentHash contentHash() {
        return ContentHash.of(this);
    }

    private SafetensorsFile owner(String name) {
        SafetensorsFile owner = owners.get(name);
        if (owner == null) {
            throw UserException.badInput(
                    "tensor " + name + " is not in " + directory, "check that config.json belongs to these weights");
        }
        return owner;
    }

    @Override
    public void close() {
        files.forEach(SafetensorsFile::close);
    }
}
