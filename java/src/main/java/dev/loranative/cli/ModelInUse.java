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
import dev.loranative.lora.AdapterFiles;
import dev.loranative.lora.Adapters;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.ModelConfig;
import dev.loranative.model.ModelFiles;
import dev.loranative.tensor.Ops;
import dev.loranative.train.MemoryPlan;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** A model with or without an adapter, for commands that do not train: first read and checked, then loaded. */
final class ModelInUse implements AutoCloseable {

    private final Console console;
    private final MachineOptions machine;
    private final ModelFiles files;
    private final LazyTokenizer tokenizer;
    private final Optional<Adapter> adapter;
    private Device device;
    private LoadedModel model;

    private ModelInUse(
            Console console, MachineOptions machine, Path folder, ModelFiles files, Optional<Adapter> adapter) {
        this.console = console;
        this.machine = machine;
        this.files = files;
        this.tokenizer = new LazyTokenizer(folder);
        this.adapter = adapter;
    }

    /** Reads {@code model_name_or_path} and {@code adapter}; weights are not touched. */
    static ModelInUse open(ConfigValues values, Console console) {
        TrainConfig.require(values, TrainKeys.MODEL, "--model DIR");
        Path folder = values.get(TrainKeys.MODEL);
        QuantizationOptions quantization = values.keys().contains(QuantizationKeys.LOAD_IN_4BIT)
                ? QuantizationOptions.from(values)
                : QuantizationOptions.NONE;
        ModelFiles files = ModelFiles.open(folder, quantization);
        files.notes().forEach(note -> console.note("note: " + note));
        try {
            Optional<Adapter> adapter = Optional.ofNullable(values.get(CommandKeys.ADAPTER))
                    .map(path -> AdapterFiles.read(path, files.tree()));
            adapter.ifPresent(read -> read.warnings().forEach(console::warning));
            return new ModelInUse(console, MachineOptions.from(values), folder, files, adapter);
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

    /** Puts the weights on the device, adapter attached. */
    LoadedModel load() {
        device = Devices.open(machine.device(), machine.threads());
        if (files.quantizes()) {
            // It takes minutes for a large model: that there is no room for it is said before.
            new MemoryPlan(Map.of("weights", files.weightBytes()))
                    .requireFits(machine.maxMemoryBytes(), "set bnb_4bit_use_double_quant, or use a smaller model");
        }
        StatusLine status = new StatusLine(console, System::nanoTime);
        try {
            model = files.load(
                    new Ops(device), (done, total) -> status.draw("quantising " + done + "/" + total + " weights"));
        } finally {
            status.clear();
        }
        adapter.ifPresent(read -> Adapters.load(model, read, 0, false));
        return model;
    }

    MachineOptions machine() {
        return machine;
    }

    /** Memory by part, so far: what a command adds, it puts to it. */
    Map<String, Long> memory(Ops ops) {
        Map<String, Long> parts = new LinkedHashMap<>();
        parts.put("weights", files.weightBytes());
        adapter.ifPresent(read -> parts.put(
                "adapters",
                read.modules().stream()
                        .mapToLong(module -> (long) Float.BYTES * (module.a().length + module.b().length))
                        .sum()));
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
