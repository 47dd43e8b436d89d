package dev.loranative.quant;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.checkpoint.SafetensorsWriter.Tensor;
import dev.loranative.checkpoint.TensorEntry;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Models that bitsandbytes 0.50.1 quantised, one of them also as it was before, and copies of them to be spoiled. */
public final class FourBitFixture {

    private static final Path ROOT = Path.of("src", "test", "resources", "quant");
    private static final String FILE = "model.safetensors";

    /** Float32, hidden size 90, MLP 101: blocks run on into the next row, the last one is short. With biases. */
    public static final Path ODD_SOURCE = ROOT.resolve("sources").resolve("llama_odd_fp32");

    /** The same, NF4 with double quantisation. */
    public static final Path ODD = model("llama_odd_nf4_dq_fp32");

    private final Path config;
    private final Map<String, Tensor> tensors;

    private FourBitFixture(Path config, Map<String, Tensor> tensors) {
        this.config = config;
        this.tensors = tensors;
    }

    public static Path model(String name) {
        return ROOT.resolve("models").resolve(name);
    }

    /** A copy in memory. */
    public static FourBitFixture copyOf(Path model) {
        return new FourBitFixture(model.resolve("config.json"), tensors(model.resolve(FILE)));
    }

    /** All tensors of a file, by name. */
    public static Map<String, Tensor> tensors(Path path) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            for (TensorEntry entry : file.entries()) {
                byte[] data = file.data(entry.name()).toArray(ValueLayout.JAVA_BYTE);
                tensors.put(
                        entry.name(),
                        new Tensor(entry.name(), entry.type(), entry.shape(), MemorySegment.ofArray(data)));
            }
        }
        return tensors;
    }

    public Tensor tensor(String name) {
        return tensors.get(name);
    }

    public FourBitFixture without(String name) {
        if (tensors.remove(name) == null) {
            throw new IllegalArgumentException(name);
        }
        return this;
    }

    public FourBitFixture with(String name, ElementType type, List<Long> shape, MemorySegment data) {
        tensors.put(name, new Tensor(name, type, shape, data));
        return this;
    }

    /** Only the first elements of a vector. */
    public FourBitFixture cut(String name, long elements) {
        Tensor tensor = tensors.get(name);
        return with(
                name,
                tensor.type(),
                List.of(elements),
                tensor.data().asSlice(0, elements * tensor.type().bytes()));
    }

    public FourBitFixture setFloat(String name, long index, float value) {
        tensors.get(name).data().setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, index, value);
        return this;
    }

    public FourBitFixture rename(String before, String after) {
        Tensor tensor = tensors.remove(before);
        return with(after, tensor.type(), tensor.shape(), tensor.data());
    }

    public FourBitFixture replaceText(String name, String before, String after) {
        byte[] data = tensors.get(name).data().toArray(ValueLayout.JAVA_BYTE);
        String text = new String(data, StandardCharsets.UTF_8);
        if (!text.contains(before)) {
            throw new IllegalArgumentException(text);
        }
        byte[] replaced = text.replace(before, after).getBytes(StandardCharsets.UTF_8);
        return with(name, ElementType.U8, List.of((long) replaced.length), MemorySegment.ofArray(replaced));
    }

    /** Writes the model to a folder and gives that. */
    public Path writeTo(Path folder) {
        try {
            Files.createDirectories(folder);
            Files.copy(config, folder.resolve("config.json"));
            SafetensorsWriter.write(folder.resolve(FILE), List.copyOf(tensors.values()), Map.of("format", "pt"));
            return folder;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
