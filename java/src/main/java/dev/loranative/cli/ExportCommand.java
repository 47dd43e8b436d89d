package dev.loranative.cli;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.TrainConfig;
import dev.loranative.config.TrainKeys;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterConfig;
import dev.loranative.lora.export.GgufAdapter;
import dev.loranative.model.ModelConfig;
import dev.loranative.model.ModelConfigReader;
import dev.loranative.model.ModuleTree;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** {@code export}: an adapter in the format of another engine. */
@Command(
        name = "export",
        header = "an adapter for llama.cpp (GGUF)",
        customSynopsis = "lora-native export --adapter DIR --format gguf --output FILE [--model DIR]",
        description = "Writes an adapter as a LoRA file that llama.cpp loads beside a base model in GGUF."
                + " Of the model only config.json is needed.")
final class ExportCommand extends EngineCommand {

    @Override
    List<Key<?>> keys() {
        return List.of(
                CommandKeys.ADAPTERS,
                CommandKeys.ADAPTER_WEIGHTS,
                CommandKeys.COMBINATION_TYPE,
                TrainKeys.MODEL,
                CommandKeys.FORMAT,
                CommandKeys.OUTPUT_FILE,
                CommandKeys.EXPORTED_DTYPE);
    }

    @Override
    List<String> examples() {
        return List.of(
                "export --model examples/tiny-moe --adapter output/attention --format gguf --output attention.gguf",
                "export --adapter DIR --format gguf --output adapter-f16.gguf --dtype float16");
    }

    @Override
    int run(ConfigValues values, Console console) {
        TrainConfig.require(values, CommandKeys.ADAPTERS, "--adapter DIR");
        TrainConfig.require(values, CommandKeys.FORMAT, "--format gguf");
        TrainConfig.require(values, CommandKeys.OUTPUT_FILE, "--output FILE");
        AdapterOptions options = AdapterOptions.from(values, false);
        Path output = values.get(CommandKeys.OUTPUT_FILE);
        if (Files.exists(output)) {
            throw UserException.badInput(
                    "output '" + output + "' exists already: nothing is overwritten", "choose another --output");
        }
        ModelConfig model = ModelConfigReader.read(modelFolder(values, options));
        Adapter adapter =
                options.read(ModuleTree.of(model), console).values().iterator().next();
        ElementType type = switch (values.get(CommandKeys.EXPORTED_DTYPE)) {
            case "float16" -> ElementType.F16;
            case "bfloat16" -> ElementType.BF16;
            default -> ElementType.F32;
        };
        GgufAdapter.Written written = GgufAdapter.write(output, adapter, model, type);
        if (console.json()) {
            console.result(json(output, written));
        } else {
            console.result("adapter  " + output + ": " + written.architecture() + ", "
                    + written.tensors().size() + " tensors, alpha " + written.alpha()
                    + (written.folded() == 0 ? "" : ", scaling of " + written.folded() + " weights folded into B"));
        }
        return 0;
    }

    private static ObjectNode json(Path output, GgufAdapter.Written written) {
        ObjectNode json = Console.JSON
                .createObjectNode()
                .put("output", output.toString())
                .put("architecture", written.architecture())
                .put("alpha", written.alpha())
                .put("folded", written.folded());
        ArrayNode tensors = json.putArray("tensors");
        written.tensors().forEach(tensors::add);
        return json;
    }

    /** As given, or where the adapter says that its base model is, if that is a folder. */
    private static Path modelFolder(ConfigValues values, AdapterOptions options) {
        if (values.isSet(TrainKeys.MODEL)) {
            return values.get(TrainKeys.MODEL);
        }
        Path adapter = options.folders().values().iterator().next();
        Optional<String> base = AdapterConfig.baseModelOf(adapter);
        return base.stream()
                .flatMap(name -> Stream.of(Path.of(name), adapter.resolve(name)))
                .filter(folder -> Files.exists(folder.resolve("config.json")))
                .findFirst()
                .orElseThrow(() -> UserException.badInput(
                        "the base model's config.json is needed, and "
                                + base.map(name -> "'" + name + "' (base_model_name_or_path) is no folder here")
                                        .orElse("the adapter does not say where it is"),
                        "give --model DIR"));
    }
}
