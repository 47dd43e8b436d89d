package dev.loranative.lora;

import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.config.LoraConfig;
import dev.loranative.lora.PeftName.Part;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** The tensors of an adapter under PEFT's names. */
final class AdapterWriter {

    private final LoraConfig config;
    private final ModuleTree tree;
    private final PeftLayout layout;
    private final FullNames names;
    private final List<SafetensorsWriter.Tensor> tensors = new ArrayList<>();

    AdapterWriter(LoraConfig config, ModuleTree tree, PeftLayout layout) {
        this.config = config;
        this.tree = tree;
        this.layout = layout;
        this.names = new FullNames(tree);
    }

    List<SafetensorsWriter.Tensor> tensors(AdapterTensors adapter) {
        for (AdapterModule module : adapter.modules()) {
            if (layout.fused().isEmpty() || module.module().kind() != Kind.EXPERT) {
                addModule(module);
            }
        }
        addFused();
        Set<String> adapted =
                adapter.modules().stream().map(module -> module.module().name()).collect(Collectors.toSet());
        for (FullTensor tensor : adapter.full()) {
            tensors.add(FloatTensors.of(fullName(tensor.name(), adapted), tensor.shape(), tensor.values()));
            if (names.isTiedEmbedding(tensor.name())) {
                // PEFT has two modules there, and finds the head's weight under its own name.
                String head = PeftName.of(names.tiedHead().orElseThrow(), Part.PLAIN);
                tensors.add(FloatTensors.of(head, tensor.shape(), tensor.values()));
            }
        }
        for (TokenRows rows : adapter.tokens()) {
            long width = rows.values().length / rows.indices().size();
            add(rows.module(), Part.TOKENS, List.of((long) rows.indices().size(), width), rows.values());
        }
        return tensors;
    }

    /** For the file's {@code __metadata__}; PEFT reads {@code format} alone. */
    Map<String, String> metadata() {
        Map<String, String> metadata = new LinkedHashMap<>(Map.of("format", "pt"));
        if (config.shareExpertAdapters()) {
            metadata.put(AdapterFiles.SHARED_EXPERTS, "true");
        }
        if (layout.fused().stream()
                .anyMatch(update -> update.padded() || !update.alphas().isEmpty())) {
            Map<String, Double> alphas = new LinkedHashMap<>();
            layout.fused().forEach(update -> alphas.putAll(update.alphas()));
            metadata.put(ZeroPadding.KEY, ZeroPadding.write(alphas));
        }
        return metadata;
    }

    private void addModule(AdapterModule module) {
        LinearModule target = module.module();
        boolean embedding = target.kind() == Kind.EMBEDDING;
        String name = layout.names().spell(module);
        long r = module.r();
        long columns = embedding ? target.out() : target.in();
        long rows = embedding ? target.in() : target.out();
        add(name, embedding ? Part.EMBEDDING_A : Part.A, List.of(r, columns), module.a());
        add(name, embedding ? Part.EMBEDDING_B : Part.B, List.of(rows, r), module.b());
        module.bias().ifPresent(values -> add(name, Part.B_BIAS, List.of(rows), values));
        module.magnitude().ifPresent(values -> add(name, Part.MAGNITUDE, List.of(rows), values));
    }

    /** PEFT wraps the weight that comes last in the module outermost: a name with {@code .base_layer} is the first's. */
    private void addFused() {
        for (FusedUpdate update : layout.fused()) {
            boolean nested = layout.fused().stream()
                    .anyMatch(other -> other.group().equals(update.group())
                            && other.weight().compareTo(update.weight()) > 0);
            String name = update.group().memoryName() + (nested ? ".base_layer" : "");
            add(name, Part.A, update.shapeA(), update.a());
            add(name, Part.B, update.shapeB(), update.b());
        }
    }

    /** A bias of a module with an update lies in the wrapped layer; everything else keeps its plain name. */
    private String fullName(String tensor, Set<String> adapted) {
        String module = tensor.substring(0, tensor.lastIndexOf('.'));
        if (tensor.endsWith(".bias") && adapted.contains(module)) {
            return PeftName.of(module, Part.BASE_BIAS);
        }
        return PeftName.of(layout.names() == PeftLayout.Names.CHECKPOINT ? tensor : names.inMemory(tensor), Part.PLAIN);
    }

    private void add(String module, Part part, List<Long> shape, float[] values) {
        tensors.add(FloatTensors.of(PeftName.of(module, part), shape, values));
    }
}
