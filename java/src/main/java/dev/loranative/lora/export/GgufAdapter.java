package dev.loranative.lora.export;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.GgufWriter;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterModule;
import dev.loranative.lora.AdapterTensors;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModelConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An adapter as llama.cpp loads it: {@code NAME.weight.lora_a} and {@code .lora_b} for every weight that it changes, and one
 * {@code adapter.lora.alpha}. llama.cpp multiplies B·A by alpha / rank; where a module's scaling is another, B carries the
 * difference.
 */
public final class GgufAdapter {

    private final Adapter adapter;
    private final ModelConfig model;
    private final GgufNames names;
    private final ElementType type;
    private final Map<String, List<AdapterModule>> byWeight = new LinkedHashMap<>();

    private GgufAdapter(Adapter adapter, ModelConfig model, ElementType type) {
        this.adapter = adapter;
        this.model = model;
        this.names = GgufNames.of(model.modelType());
        this.type = type;
        requireExpressible(adapter.tensors());
        for (AdapterModule module : adapter.modules()) {
            byWeight.computeIfAbsent(names.weight(module.module()), _ -> new ArrayList<>())
                    .add(module);
        }
    }

    /**
     * What was written.
     *
     * @param tensors names, as in the file
     * @param alpha the file's
     * @param folded weights whose B carries a part of the scaling
     */
    public record Written(String architecture, List<String> tensors, float alpha, int folded) {}

    /**
     * Writes the file; complete or absent.
     *
     * @param type F32, F16 or BF16 for all tensors
     * @throws UserException if the format cannot hold the adapter, or the disk refuses
     */
    public static Written write(Path file, Adapter adapter, ModelConfig model, ElementType type) {
        return new GgufAdapter(adapter, model, type).write(file);
    }

    private void requireExpressible(AdapterTensors tensors) {
        String hint = "merge it into the base model, and convert the merged model to GGUF instead";
        if (!tensors.full().isEmpty()) {
            throw UserException.badInput(
                    "GGUF adapters hold low-rank updates only, but this one replaces "
                            + tensors.full().getFirst().name() + " (modules_to_save or bias)",
                    hint);
        }
        if (!tensors.tokens().isEmpty()) {
            throw UserException.badInput(
                    "GGUF adapters hold low-rank updates only, but this one replaces rows of "
                            + tensors.tokens().getFirst().module() + " (trainable_token_indices)",
                    hint);
        }
        for (AdapterModule module : tensors.modules()) {
            if (module.magnitude().isPresent()) {
                throw UserException.badInput("GGUF adapters cannot hold DoRA (" + module.name() + ")", hint);
            }
            if (module.bias().isPresent()) {
                throw UserException.badInput("GGUF adapters cannot hold lora_bias (" + module.name() + ")", hint);
            }
            Kind kind = module.module().kind();
            if (model.tieWordEmbeddings() && (kind == Kind.EMBEDDING || kind == Kind.HEAD)) {
                throw UserException.badInput(
                        "the adapter changes " + module.name() + ", but the model's head is tied to its embedding:"
                                + " llama.cpp has one weight for both",
                        hint);
            }
        }
    }

    private Written write(Path file) {
        float alpha = alpha();
        int folded = 0;
        List<GgufWriter.Tensor> tensors = new ArrayList<>();
        for (Map.Entry<String, List<AdapterModule>> entry : byWeight.entrySet()) {
            List<AdapterModule> modules = entry.getValue();
            int rank = rank(modules);
            boolean experts = modules.getFirst().module().kind() == Kind.EXPERT;
            int places = experts ? model.moe().orElseThrow().experts() : 1;
            int in = columns(modules.getFirst());
            int out = rows(modules.getFirst());
            float[] a = new float[Math.multiplyExact(places, Math.multiplyExact(rank, in))];
            float[] b = new float[Math.multiplyExact(places, Math.multiplyExact(out, rank))];
            boolean scaled = false;
            for (AdapterModule module : modules) {
                int place = experts ? module.module().expert() : 0;
                double factor = module.scaling() * rank / alpha;
                // alpha is a float32; what that loses is no reason to change B.
                boolean fits = Math.abs(factor - 1) < 1e-7;
                scaled |= !fits;
                System.arraycopy(module.a(), 0, a, place * rank * in, module.a().length);
                putB(module, fits ? 1 : factor, rank, b, place * out * rank);
            }
            folded += scaled ? 1 : 0;
            if (modules.getFirst().module().kind() == Kind.EMBEDDING) {
                a = transposed(a, rank, in);
            }
            requireRange(entry.getKey(), a);
            requireRange(entry.getKey(), b);
            tensors.add(new GgufWriter.Tensor(
                    entry.getKey() + ".lora_a", type, shapeOfA(modules.getFirst(), experts, places, rank, in), a));
            tensors.add(new GgufWriter.Tensor(entry.getKey() + ".lora_b", type, shape(experts, places, out, rank), b));
        }
        GgufWriter.write(file, metadata(alpha), tensors);
        return new Written(
                names.architecture(),
                tensors.stream().map(GgufWriter.Tensor::name).toList(),
                alpha,
                folded);
    }

    private Map<String, Object> metadata(float alpha) {
        Map<String, Object> metadata = new LinkedHashMap<>();
        metadata.put("general.architecture", names.architecture());
        metadata.put("general.type", "adapter");
        adapter.config().baseModel().filter(base -> !base.isBlank()).ifPresent(base -> {
            metadata.put("general.base_model.count", 1);
            metadata.put("general.base_model.0.name", base);
        });
        // llama.cpp's numbers of file types: all F32, mostly F16, mostly BF16.
        metadata.put("general.file_type", type == ElementType.F32 ? 0 : type == ElementType.F16 ? 1 : 32);
        metadata.put("general.quantization_version", 2);
        metadata.put("adapter.type", "lora");
        metadata.put("adapter.lora.alpha", alpha);
        return metadata;
    }

    /** The one that most weights need, so that few B change; never 0, which llama.cpp takes as a scaling of 1. */
    private float alpha() {
        Map<Float, Integer> counts = new LinkedHashMap<>();
        byWeight.values()
                .forEach(modules ->
                        counts.merge((float) (modules.getFirst().scaling() * rank(modules)), 1, Integer::sum));
        return counts.entrySet().stream()
                .filter(entry -> entry.getKey() != 0)
                .max(Map.Entry.comparingByValue())
                .map(Map.Entry::getKey)
                .orElse(1f);
    }

    private static int rank(List<AdapterModule> modules) {
        return modules.stream().mapToInt(AdapterModule::r).max().orElseThrow();
    }

    /** Of A. */
    private static int columns(AdapterModule module) {
        return module.a().length / module.r();
    }

    /** Of B. */
    private static int rows(AdapterModule module) {
        return module.b().length / module.r();
    }

    private static List<Long> shape(boolean experts, long places, long rows, long columns) {
        return experts ? List.of(places, rows, columns) : List.of(rows, columns);
    }

    /** llama.cpp picks rows of an embedding's A, one for each token. */
    private static List<Long> shapeOfA(AdapterModule module, boolean experts, long places, long rank, long in) {
        return module.module().kind() == Kind.EMBEDDING ? List.of(in, rank) : shape(experts, places, rank, in);
    }

    private static float[] transposed(float[] values, int rows, int columns) {
        float[] result = new float[values.length];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                result[column * rows + row] = values[row * columns + column];
            }
        }
        return result;
    }

    /**
     * B [out, r], padded to [out, rank]. Where llama.cpp keeps the two numbers of a rotary pair side by side, row i of a half
     * goes to 2i and 2i + 1 of its head.
     */
    private void putB(AdapterModule module, double factor, int rank, float[] into, int start) {
        int r = module.r();
        int out = rows(module);
        int heads = names.reorderedHeads(module.module(), model.heads(), model.kvHeads());
        int headRows = heads == 0 ? out : out / heads;
        for (int row = 0; row < out; row++) {
            int head = row / headRows;
            int inHead = row % headRows;
            int half = headRows / 2;
            int target = heads == 0 ? row : head * headRows + 2 * (inHead % half) + inHead / half;
            for (int k = 0; k < r; k++) {
                into[start + target * rank + k] = (float) (factor * module.b()[row * r + k]);
            }
        }
    }

    private void requireRange(String name, float[] values) {
        if (type != ElementType.F16) {
            return;
        }
        for (float value : values) {
            if (Math.abs(value) >= 65520) {
                throw UserException.badInput(
                        name + " needs " + value + ", beyond the range of float16", "export with --dtype float32");
            }
        }
    }
}
