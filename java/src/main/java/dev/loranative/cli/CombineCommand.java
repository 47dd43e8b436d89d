package dev.loranative.cli;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.TrainConfig;
import dev.loranative.config.TrainKeys;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterFiles;
import dev.loranative.lora.ModelCard;
import dev.loranative.model.ModelConfigReader;
import dev.loranative.model.ModuleTree;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Command;
import tools.jackson.databind.node.ObjectNode;

/** {@code combine}: several adapters of one model as one adapter. */
@Command(
        name = "combine",
        header = "several adapters as one adapter",
        customSynopsis =
                "lora-native combine --model DIR --adapter DIR --adapter DIR --adapter-weights W,W --output DIR",
        description = "Writes one adapter that does what several do together, each with a weight, as PEFT's"
                + " add_weighted_adapter. Of the model only config.json is needed.")
final class CombineCommand extends EngineCommand {

    @Override
    List<Key<?>> keys() {
        return List.of(
                TrainKeys.MODEL,
                CommandKeys.ADAPTERS,
                CommandKeys.ADAPTER_WEIGHTS,
                CommandKeys.COMBINATION_TYPE,
                CommandKeys.OUTPUT);
    }

    @Override
    List<String> examples() {
        return List.of(
                "combine --model DIR --adapter output/a --adapter output/b --adapter-weights 0.7,0.3 --output output/ab",
                "combine --model DIR --adapter output/a --adapter output/b --adapter-weights 1,-1 \\\n"
                        + "      --combination-type linear --output output/difference");
    }

    @Override
    int run(ConfigValues values, Console console) {
        TrainConfig.require(values, TrainKeys.MODEL, "--model DIR");
        TrainConfig.require(values, CommandKeys.ADAPTERS, "--adapter DIR");
        TrainConfig.require(values, CommandKeys.ADAPTER_WEIGHTS, "--adapter-weights 0.5,0.5");
        TrainConfig.require(values, CommandKeys.OUTPUT, "--output DIR");
        AdapterOptions options = AdapterOptions.from(values, false);
        Path output = values.get(CommandKeys.OUTPUT);
        AtomicFiles.requireFree(output);
        ModuleTree tree = ModuleTree.of(ModelConfigReader.read(values.get(TrainKeys.MODEL)));
        Adapter adapter = options.read(tree, console).get(AdapterOptions.COMBINED);
        write(output, options, adapter, tree).forEach(console::warning);
        int rank = adapter.config().lora().r();
        if (console.json()) {
            ObjectNode json = Console.JSON
                    .createObjectNode()
                    .put("output_dir", output.toString())
                    .put("r", rank)
                    .put("modules", adapter.modules().size())
                    .put("parameters", adapter.tensors().parameters());
            console.result(json);
        } else {
            console.result("adapter  " + output + ": " + adapter.modules().size() + " modules, r " + rank + ", "
                    + Quantities.count(adapter.tensors().parameters()) + " parameters");
        }
        return 0;
    }

    private static List<String> write(Path output, AdapterOptions options, Adapter adapter, ModuleTree tree) {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("combination_type", options.type().name().toLowerCase(Locale.ROOT));
        int number = 0;
        for (Map.Entry<String, Path> entry : options.folders().entrySet()) {
            settings.put(
                    "adapter " + entry.getKey(),
                    entry.getValue() + ", weight " + options.weights().get(number++));
        }
        ModelCard card = new ModelCard("other adapters, of which it is a combination", settings, Map.of());
        return AtomicFiles.writeDirectory(
                output,
                staging -> AdapterFiles.write(
                        staging, adapter.config().lora(), adapter.config().baseModel(), tree, adapter.tensors(), card));
    }
}
