package dev.loranative.lora;

import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.Nearest;
import dev.loranative.errors.UserException;
import dev.loranative.lora.PeftName.Part;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Reads an adapter's folder and checks every tensor against the model's modules; see {@link AdapterFiles#read}. */
final class AdapterReader {

    /** Names that an error compares with: more would take long and say no more. */
    private static final int NAMES_TO_COMPARE = 20_000;

    private final AdapterSource source;
    private final ModuleTree tree;
    private final ExpectedRanks ranks;
    private final FullReader fullReader;
    private final Map<String, LinearModule> byName = new HashMap<>();
    private final Map<String, ExpertGroup> groups = new HashMap<>();
    private final Map<LinearModule, LowRankReader.Parts> parts = new LinkedHashMap<>();
    private final Map<String, FusedReader.Pair> fused = new TreeMap<>();
    private final List<TensorEntry> baseWeights = new ArrayList<>();

    private AdapterReader(AdapterSource source, ModuleTree tree) {
        this.source = source;
        this.tree = tree;
        this.ranks = new ExpectedRanks(source.config().lora());
        this.fullReader = new FullReader(source, tree);
        tree.modules().forEach(module -> NameRule.names(module).forEach(name -> byName.put(name, module)));
        for (ExpertGroup group : ExpertGroup.of(tree)) {
            groups.put(group.name(), group);
            groups.put(group.memoryName(), group);
        }
    }

    static Adapter read(Path folder, ModuleTree tree) {
        if (!Files.isDirectory(folder)) {
            throw UserException.badInput(
                    "no such adapter folder: " + folder,
                    "give a folder with " + AdapterConfig.FILE + " and " + AdapterFiles.TENSORS);
        }
        Path file = folder.resolve(AdapterFiles.TENSORS);
        // The configuration first: without it the folder is no adapter at all.
        AdapterConfig config = AdapterConfig.read(folder, false);
        if (!Files.isRegularFile(file)) {
            boolean pickled = Files.exists(folder.resolve("adapter_model.bin"));
            throw UserException.badInput(
                    file + ": no such file",
                    pickled
                            ? "convert adapter_model.bin to safetensors first: pickled files are not read"
                            : "give the folder of a PEFT adapter");
        }
        try (SafetensorsFile tensors = SafetensorsFile.open(file)) {
            boolean shared = "true".equals(tensors.metadata().get(AdapterFiles.SHARED_EXPERTS));
            AdapterConfig complete = shared ? AdapterConfig.read(folder, true) : config;
            return new AdapterReader(new AdapterSource(tensors, complete), tree).read();
        }
    }

    private Adapter read() {
        source.entries().forEach(this::place);
        FusedReader fusedReader = new FusedReader(source, ranks);
        fusedReader.place(fused, groups);
        Map<LinearModule, AdapterModule> found = fusedReader.modules();
        LowRankReader lowRank = new LowRankReader(source, ranks);
        parts.forEach((module, tensors) -> {
            if (found.put(module, lowRank.read(module, tensors)) != null) {
                throw source.bad(
                        tensors.name() + " has tensors of its own and in one for all experts",
                        "keep one of the two: the file is put together from two adapters");
            }
        });
        List<AdapterModule> modules = tree.modules().stream()
                .filter(found::containsKey)
                .map(found::get)
                .toList();
        baseWeights.forEach(this::checkBaseWeight);
        AdapterTensors tensors = new AdapterTensors(modules, fullReader.read(found.keySet()), fullReader.tokens());
        if (tensors.parameters() == 0) {
            throw source.bad("there are no LoRA tensors", "give the folder of a PEFT adapter");
        }
        new TargetCheck(source, tree).check(found.keySet(), Set.copyOf(fusedReader.parameters()));
        SharedExperts.check(source, tree, found);
        warnAboutZeros(modules);
        return new Adapter(source.config(), tensors, source.warnings());
    }

    private void place(TensorEntry entry) {
        if (!entry.name().startsWith(PeftName.PREFIX)) {
            throw source.bad(
                    "unexpected tensor " + entry.name(), "tensors of a PEFT adapter begin with " + PeftName.PREFIX);
        }
        PeftName name = PeftName.parse(entry.name());
        if (name.part() == Part.BASE_WEIGHT) {
            baseWeights.add(entry);
        } else if (!name.part().isLowRank()) {
            if (name.module().contains(".lora_")) {
                throw source.bad(
                        "unexpected tensor " + entry.name(),
                        "known are " + PeftName.label(Part.A) + ", " + PeftName.label(Part.B)
                                + " and those of biases, embeddings and DoRA");
            }
            fullReader.place(entry, name);
        } else if (name.part().compareTo(Part.B) <= 0 && groups.containsKey(withoutNesting(name.module()))) {
            placeFused(entry, name);
        } else {
            placeModule(entry, name);
        }
    }

    private static String withoutNesting(String name) {
        return name.endsWith(".base_layer") ? withoutNesting(name.substring(0, name.lastIndexOf('.'))) : name;
    }

    private void placeFused(TensorEntry entry, PeftName name) {
        FusedReader.Pair pair = fused.getOrDefault(
                name.module(), new FusedReader.Pair(name.module(), Optional.empty(), Optional.empty()));
        boolean isA = name.part() == Part.A;
        fused.put(
                name.module(),
                new FusedReader.Pair(
                        name.module(), isA ? Optional.of(entry) : pair.a(), isA ? pair.b() : Optional.of(entry)));
    }

    private void placeModule(TensorEntry entry, PeftName name) {
        LinearModule module = byName.get(name.module());
        if (module == null) {
            Set<String> known = byName.keySet().stream().limit(NAMES_TO_COMPARE).collect(Collectors.toSet());
            throw source.bad(
                    entry.name() + " belongs to no linear module of this model",
                    "the adapter is for another model; nearest module: "
                            + Nearest.to(name.module(), known, 1).getFirst());
        }
        LowRankReader.Parts tensors = parts.computeIfAbsent(module, _ -> new LowRankReader.Parts(name.module()));
        if (!tensors.name().equals(name.module())) {
            throw source.bad(
                    name.module() + " and " + tensors.name() + " are the same module",
                    "keep the tensors of one of the two names");
        }
        tensors.entries().put(name.part(), entry);
    }

    /** PEFT adds the unchanged weight of a targeted head or embedding. */
    private void checkBaseWeight(TensorEntry entry) {
        LinearModule module = byName.get(PeftName.parse(entry.name()).module());
        boolean copy = module != null
                && (module.kind() == Kind.HEAD || module.kind() == Kind.EMBEDDING)
                && parts.containsKey(module);
        if (!copy) {
            throw source.bad(
                    "unexpected tensor " + entry.name(),
                    "PEFT copies the weights of targeted embeddings and heads only: the file is for another model");
        }
        source.requireShape(entry, List.of(module.out(), module.in()), "that is the shape in the model");
        source.warn(entry.name() + " is ignored, the base model has it");
    }

    private void warnAboutZeros(List<AdapterModule> modules) {
        List<AdapterModule> zero =
                modules.stream().filter(module -> isZero(changing(module))).toList();
        List<AdapterModule> odd = zero.stream()
                .filter(module -> module.module().kind() != Kind.EXPERT)
                .toList();
        if (zero.size() == modules.size() && !modules.isEmpty()) {
            source.warn("every lora_B is zero, the adapter changes nothing yet");
        } else if (!odd.isEmpty()) {
            source.warn(odd.size() + " of " + modules.size() + " lora_B are zero and change nothing: "
                    + odd.getFirst().name() + (odd.size() > 1 ? ", …" : ""));
        }
    }

    /** The matrix that starts as zeros: A for an embedding, else B. */
    private static float[] changing(AdapterModule module) {
        return module.module().kind() == Kind.EMBEDDING ? module.a() : module.b();
    }

    private static boolean isZero(float[] values) {
        for (float value : values) {
            if (value != 0) {
                return false;
            }
        }
        return true;
    }
}
