package dev.loranative.lora;

import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.ModuleNames;
import dev.loranative.config.Nearest;
import dev.loranative.errors.UserException;
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
import java.util.Set;
import java.util.stream.Collectors;

/** Reads an adapter's folder and checks every tensor against the model's modules; see {@link AdapterFiles#read}. */
final class AdapterReader {

    private final Path folder;
    private final Path file;
    private final ModuleTree tree;
    private final AdapterConfig config;
    private final ExpectedRanks ranks;
    private final List<String> warnings;
    private final Map<String, LinearModule> byName = new HashMap<>();

    AdapterReader(Path folder, ModuleTree tree) {
        if (!Files.isDirectory(folder)) {
            throw UserException.badInput(
                    "no such adapter folder: " + folder,
                    "give a folder with " + AdapterConfig.FILE + " and " + AdapterFiles.TENSORS);
        }
        this.folder = folder;
        this.file = folder.resolve(AdapterFiles.TENSORS);
        this.tree = tree;
        this.config = AdapterConfig.read(folder);
        this.ranks = new ExpectedRanks(config.lora());
        this.warnings = new ArrayList<>(config.warnings());
        tree.modules().forEach(module -> NameRule.names(module).forEach(name -> byName.put(name, module)));
    }

    /** The names that one module's tensors have in the file. */
    private record Pair(String name, TensorEntry a, TensorEntry b) {
        Pair with(TensorEntry entry, boolean isA) {
            return new Pair(name, isA ? entry : a, isA ? b : entry);
        }
    }

    Adapter read() {
        if (!Files.isRegularFile(file)) {
            boolean pickled = Files.exists(folder.resolve("adapter_model.bin"));
            throw UserException.badInput(
                    file + ": no such file",
                    pickled
                            ? "convert adapter_model.bin to safetensors first: pickled files are not read"
                            : "give the folder of a PEFT adapter");
        }
        try (SafetensorsFile tensors = SafetensorsFile.open(file)) {
            Map<LinearModule, Pair> pairs = new LinkedHashMap<>();
            tensors.entries().forEach(entry -> place(entry, pairs));
            List<AdapterModule> modules = new ArrayList<>();
            for (LinearModule module : tree.modules()) {
                Pair pair = pairs.get(module);
                if (pair != null) {
                    modules.add(module(tensors, module, pair));
                }
            }
            if (modules.isEmpty()) {
                throw UserException.badInput(file + " holds no LoRA tensors", "give the folder of a PEFT adapter");
            }
            compareWithTargets(pairs.keySet());
            warnAboutZeros(modules);
            return new Adapter(config, AdapterTensors.of(modules), warnings);
        }
    }

    private void place(TensorEntry entry, Map<LinearModule, Pair> pairs) {
        String name = entry.name();
        boolean isA = name.endsWith(AdapterFiles.A);
        if (!name.startsWith(AdapterFiles.PREFIX) || !isA && !name.endsWith(AdapterFiles.B)) {
            if (isCopyOfBase(name)) {
                warnings.add(file + ": " + name + " is ignored, the base model has it");
                return;
            }
            throw unsupported(name);
        }
        String moduleName = name.substring(AdapterFiles.PREFIX.length(), name.length() - AdapterFiles.A.length());
        LinearModule module = byName.get(moduleName);
        if (module == null) {
            throw unknownModule(name, moduleName);
        }
        if (module.kind() == Kind.EMBEDDING) {
            throw unsupported(name);
        }
        Pair pair = pairs.computeIfAbsent(module, _ -> new Pair(moduleName, null, null));
        if (!pair.name().equals(moduleName)) {
            throw UserException.badInput(
                    file + ": " + moduleName + " and " + pair.name() + " are the same module",
                    "keep the tensors of one of the two names");
        }
        pairs.put(module, pair.with(entry, isA));
    }

    /** PEFT adds the unchanged weight of a targeted head or embedding. */
    private boolean isCopyOfBase(String name) {
        String suffix = ".base_layer.weight";
        if (!name.startsWith(AdapterFiles.PREFIX) || !name.endsWith(suffix)) {
            return false;
        }
        LinearModule module = byName.get(name.substring(AdapterFiles.PREFIX.length(), name.length() - suffix.length()));
        return module != null && module.kind() == Kind.HEAD;
    }

    private UserException unsupported(String name) {
        if (!name.startsWith(AdapterFiles.PREFIX)) {
            return UserException.badInput(
                    file + ": unexpected tensor " + name,
                    "tensors of a PEFT adapter begin with " + AdapterFiles.PREFIX);
        }
        String what;
        if (name.contains(".lora_embedding_")) {
            what = "LoRA on embeddings";
        } else if (name.endsWith(".lora_magnitude_vector")) {
            what = "DoRA";
        } else if (name.contains(".trainable_tokens_delta")) {
            what = "trainable_token_indices";
        } else if (name.contains(".lora_")) {
            what = "a tensor of this kind";
        } else {
            what = "a fully trained module (modules_to_save or bias)";
        }
        return UserException.badInput(
                file + ": " + name + ": " + what + " is not supported yet",
                "use an adapter with LoRA on linear layers");
    }

    private UserException unknownModule(String tensor, String moduleName) {
        String prefix = moduleName + ".";
        boolean container = byName.keySet().stream().anyMatch(name -> name.startsWith(prefix));
        if (moduleName.endsWith(".base_layer") || container) {
            return UserException.badInput(
                    file + ": " + tensor + ": experts in one fused tensor are not supported yet",
                    "use an adapter with tensors for every expert, as lora-native writes them");
        }
        Set<String> known = byName.keySet().stream().limit(20_000).collect(Collectors.toSet());
        return UserException.badInput(
                file + ": " + tensor + " belongs to no linear module of this model",
                "the adapter is for another model; nearest module: "
                        + Nearest.to(moduleName, known, 1).getFirst());
    }

    private AdapterModule module(SafetensorsFile tensors, LinearModule module, Pair pair) {
        if (pair.a() == null || pair.b() == null) {
            throw UserException.badInput(
                    file + ": " + pair.name() + " has no " + (pair.a() == null ? "lora_A" : "lora_B") + ".weight",
                    "the file is incomplete: write or copy it again");
        }
        ExpectedRanks.Expected expected = ranks.of(module);
        long r = pair.a().shape().size() == 2 ? pair.a().shape().getFirst() : -1;
        requireShape(pair.a(), List.of(r, module.in()), module);
        requireShape(pair.b(), List.of(module.out(), r), module);
        if (r != expected.r()) {
            throw UserException.badInput(
                    file + ": " + pair.a().name() + " has the rank " + r + ", but " + AdapterConfig.FILE + " says "
                            + expected.r(),
                    "the two files belong to different adapters, or r or rank_pattern was changed");
        }
        return new AdapterModule(
                module,
                pair.name(),
                expected.r(),
                expected.alpha(),
                LoraConfig.scaling(expected.alpha(), expected.r(), config.lora().useRslora()),
                finite(tensors, pair.a()),
                finite(tensors, pair.b()));
    }

    private void requireShape(TensorEntry entry, List<Long> shape, LinearModule module) {
        if (!entry.shape().equals(shape) || shape.contains(0L) || shape.contains(-1L)) {
            throw UserException.badInput(
                    file + ": " + entry.name() + " has the shape " + entry.shape() + ", but " + module.name() + " is ["
                            + module.out() + ", " + module.in() + "]",
                    "lora_A must be [r, " + module.in() + "] and lora_B [" + module.out()
                            + ", r]; the adapter is for another model");
        }
    }

    private float[] finite(SafetensorsFile tensors, TensorEntry entry) {
        float[] values = FloatTensors.read(tensors, entry);
        for (int i = 0; i < values.length; i++) {
            if (!Float.isFinite(values[i])) {
                throw UserException.badInput(
                        file + ": " + entry.name() + " holds " + values[i] + " at element " + i,
                        "the adapter is damaged, or its training diverged: use an earlier checkpoint");
            }
        }
        return values;
    }

    /**
     * Targets without tensors would silently stay untrained. On mixtures of experts PEFT's settings may mean less than they
     * name: {@code gate_proj} is the experts' alone, or everything but the experts'.
     */
    private void compareWithTargets(Set<LinearModule> found) {
        boolean onlyFused = config.lora().targetParameters().stream().anyMatch(AdapterReader::isFused)
                && withoutFused(config.lora()).targetParameters().isEmpty()
                && config.lora().targetModules().orElse(ModuleNames.of()).equals(ModuleNames.of());
        if (onlyFused) {
            return;
        }
        List<Target> targets;
        try {
            targets = TargetMatcher.match(withoutFused(config.lora()), tree).list();
        } catch (UserException e) {
            warnings.add(file + ": cannot compare with the targets in " + AdapterConfig.FILE + ": " + e.getMessage());
            return;
        }
        boolean experts = tree.modules().stream().anyMatch(module -> module.kind() == Kind.EXPERT);
        Set<Kind> foundKinds = found.stream().map(LinearModule::kind).collect(Collectors.toSet());
        for (Target target : targets) {
            LinearModule module = target.module();
            if (found.contains(module)) {
                continue;
            }
            String problem = file + ": no tensors for " + module.name() + ", which " + AdapterConfig.FILE + " targets";
            boolean ambiguous = experts && (module.kind() == Kind.MLP || module.kind() == Kind.EXPERT);
            if (!ambiguous) {
                throw UserException.badInput(problem, "the file is incomplete, or belongs to another configuration");
            }
            if (foundKinds.contains(module.kind())) {
                warnings.add(problem);
                return;
            }
        }
    }

    /** Without the names that experts have as one weight. */
    private static LoraConfig withoutFused(LoraConfig config) {
        return config.withTargetParameters(config.targetParameters().stream()
                .filter(name -> !isFused(name))
                .toList());
    }

    private static boolean isFused(String parameter) {
        return parameter.endsWith("gate_up_proj") || parameter.endsWith("down_proj");
    }

    private void warnAboutZeros(List<AdapterModule> modules) {
        if (modules.stream().allMatch(module -> isZero(module.b()))) {
            warnings.add(file + ": every lora_B is zero, the adapter changes nothing yet");
        }
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
