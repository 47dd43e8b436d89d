package dev.loranative.cli;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.MachineOptions;
import dev.loranative.config.QuantizationKeys;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.config.TrainConfig;
import dev.loranative.config.TrainKeys;
import dev.loranative.data.LazyTokenizer;
import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterSwitch;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.ModelConfig;
import dev.loranative.model.ModelFiles;
import dev.loranative.tensor.Ops;
import dev.loranative.train.MemoryPlan;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A model with or without adapters, for commands that do not train: first read and checked, then loaded. */
final class ModelInUse implements AutoCloseable {

    private final Console console;
    private final MachineOptions machine;
    private final ModelFiles files;
    private final LazyTokenizer tokenizer;
    private final List<String> turns;
    private final Map<String, Adapter> adapters;
    private Device device;
    private LoadedModel model;
    private AdapterSwitch active;

    private ModelInUse(
            Console console,
            MachineOptions machine,
            Path folder,
            ModelFiles files,
            List<String> turns,
            Map<String, Adapter> adapters) {
        this.console = console;
        this.machine = machine;
        this.files = files;
        this.tokenizer = new LazyTokenizer(folder);
        this.turns = turns;
        this.adapters = adapters;
    }

    /**
     * Reads {@code model_name_or_path} and {@code adapter}; weights are not touched.
     *
     * @param mayUse whether the command has {@code use}
     */
    static ModelInUse open(ConfigValues values, boolean mayUse, Console console) {
        TrainConfig.require(values, TrainKeys.MODEL, "--model DIR");
        AdapterOptions options = AdapterOptions.from(values, mayUse);
        Path folder = values.get(TrainKeys.MODEL);
        QuantizationOptions quantization = values.keys().contains(QuantizationKeys.LOAD_IN_4BIT)
                ? QuantizationOptions.from(values)
                : QuantizationOptions.NONE;
        ModelFiles files = ModelFiles.open(folder, quantization);
        files.notes().forEach(note -> console.note("note: " + note));
        try {
            return new ModelInUse(
                    console,
                    MachineOptions.from(values),
                    folder,
                    files,
                    options.turns(),
                    options.read(files.tree(), console));
        } catch (RuntimeException e) {
            files.close();
            throw e;
        }
    }

    ModelConfig config() {
        return files.config();
    }

    LazyTokenizer tokenizer() {
        return tokenizer;
    }

    /** Puts the weights and all adapters on the device; the first turn's adapter is active. */
    LoadedModel load() {
        device = Devices.open(machine.device(), machine.threads(), machine.precision(), machine.gemm());
        console.warnOfUnusedGpu(device);
        if (files.quantizes()) {
            // It takes minutes for a large model: that there is no room for it is said before.
            new MemoryPlan(Map.of("weights", files.weightBytes()))
                    .requireFits(
                            device, machine.maxMemoryBytes(), "set bnb_4bit_use_double_quant, or use a smaller model");
        }
        StatusLine status = new StatusLine(console, System::nanoTime);
        try {
            model = files.load(
                    new Ops(device), (done, total) -> status.draw("quantising " + done + "/" + total + " weights"));
        } finally {
            status.clear();
        }
        active = new AdapterSwitch(model, adapters);
        use(turns.getFirst());
        return model;
    }

    /** Names of adapters, or {@link AdapterOptions#BASE}, to be used one after the other. */
    List<String> turns() {
        return turns;
    }

    /** Makes an adapter of {@link #turns} the active one, after {@link #load}. */
    void use(String turn) {
        if (adapters.containsKey(turn)) {
            active.use(turn);
        } else {
            active.useNone();
        }
    }

    MachineOptions machine() {
        return machine;
    }

    /** Memory by part, so far: what a command adds, it puts to it. */
    Map<String, Long> memory(Ops ops) {
        Map<String, Long> parts = new LinkedHashMap<>();
        parts.put("weights", files.weightBytes());
        if (!adapters.isEmpty()) {
            parts.put(
                    "adapters",
                    adapters.values().stream()
                            .mapToLong(read -> Float.BYTES * read.tensors().parameters())
                            .sum());
        }
        parts.put("scratch", ops.scratchBytes());
        return parts;
    }

    @Override
    public void close() {
        tokenizer.close();
        if (device != null) {
            device.close();
        }
        // A loaded model owns the mapped files.
        if (model != null) {
            model.close();
        } else {
            files.close();
        }
    }
}
