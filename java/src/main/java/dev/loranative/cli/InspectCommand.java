package dev.loranative.cli;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.config.OptimizerOptions;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.config.TrainConfig;
import dev.loranative.config.TrainKeys;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterFiles;
import dev.loranative.lora.TargetMatcher;
import dev.loranative.lora.Targets;
import dev.loranative.model.ModelConfig;
import dev.loranative.model.ModelConfigReader;
import dev.loranative.model.ModelFiles;
import dev.loranative.model.ModuleTree;
import dev.loranative.model.WeightLayout;
import dev.loranative.train.AdapterAgreement;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine.Command;

/** {@code inspect}: the linear modules of a model, and what a configuration would train. */
@Command(
        name = "inspect",
        header = "what to write into target_modules, and what it would train",
        customSynopsis = "lora-native inspect --model DIR [--adapter DIR | --list KIND | OPTIONS of LoRA]",
        description = "Lists a model's linear modules by kind and suggests targets with their costs; with an option of"
                + " LoRA, or the --config of a run, shows exactly what would be trained instead. A folder with only"
                + " config.json is enough.")
final class InspectCommand extends EngineCommand {

    private static final List<Key<?>> IN_HELP = Stream.concat(
                    Stream.of(TrainKeys.MODEL, CommandKeys.ADAPTER, CommandKeys.LIST, TrainKeys.OPTIM),
                    LoraKeys.ALL.stream())
            .toList();

    /** All of train's, so that the file of a run can be given as it is. */
    @Override
    List<Key<?>> keys() {
        List<Key<?>> keys = new ArrayList<>(TrainKeys.ALL);
        keys.add(CommandKeys.ADAPTER);
        keys.add(CommandKeys.LIST);
        return keys;
    }

    @Override
    List<Key<?>> keysInHelp() {
        return IN_HELP;
    }

    @Override
    List<String> examples() {
        return List.of(
                "inspect --model examples/tiny-moe",
                "inspect --model examples/tiny-moe --list router",
                "inspect --model examples/tiny-moe --target-modules attention,router --r 16",
                "inspect --config examples/everything.yaml --json");
    }

    @Override
    int run(ConfigValues values, Console console) {
        TrainConfig.require(values, TrainKeys.MODEL, "--model DIR");
        ModelConfig config = read(values.get(TrainKeys.MODEL), QuantizationOptions.from(values), console);
        ModuleTree tree = ModuleTree.of(config);
        String list = values.get(CommandKeys.LIST);
        if (list != null && !console.json()) {
            KindNames.of(tree.modules(), list).forEach(console::result);
            return 0;
        }
        List<String> warnings = new ArrayList<>();
        Trainable trainable = trainable(values, tree, warnings);
        warnings.forEach(console::warning);
        long parameters = WeightLayout.of(config).parameters();
        int rank = values.isSet(LoraKeys.R) ? values.get(LoraKeys.R) : Suggestion.rank(parameters);
        List<Suggestion> suggestions =
                trainable.isEmpty() ? Suggestion.of(tree, rank, OptimizerOptions.from(values)) : List.of();
        Inspection inspection = new Inspection(tree, parameters, trainable, suggestions, warnings);
        if (console.json()) {
            console.result(inspection.json());
        } else {
            InspectionText.lines(inspection).forEach(console::result);
        }
        return 0;
    }

    /** Where there are weights, they must fit config.json. */
    private static ModelConfig read(Path folder, QuantizationOptions options, Console console) {
        ModelConfig config = ModelConfigReader.read(folder);
        if (hasWeights(folder)) {
            ModelFiles.open(folder, options).close();
        } else {
            console.warning(folder + " has no weights: names and shapes are those that config.json asks for");
        }
        return config;
    }

    private static boolean hasWeights(Path folder) {
        try (DirectoryStream<Path> files =
                Files.newDirectoryStream(folder, "*.{safetensors,safetensors.index.json,bin,gguf}")) {
            return files.iterator().hasNext();
        } catch (IOException e) {
            throw UserException.badInput(
                    "cannot read the folder " + folder + ": " + e.getMessage(), "check its permissions");
        }
    }

    private static Trainable trainable(ConfigValues values, ModuleTree tree, List<String> warnings) {
        Optional<Path> adapter = Optional.ofNullable(values.get(CommandKeys.ADAPTER))
                .or(() -> Optional.ofNullable(values.get(TrainKeys.INIT_ADAPTER)));
        if (adapter.isPresent()) {
            Adapter read = AdapterFiles.read(adapter.get(), tree);
            warnings.addAll(read.warnings());
            AdapterAgreement.require(values, LoraConfig.from(values), tree, read, adapter.get());
            return Trainable.of(read, OptimizerOptions.from(values));
        }
        if (LoraKeys.ALL.stream().noneMatch(key -> asksForTargets(values, key))) {
            return Trainable.nothing();
        }
        LoraConfig config = LoraConfig.from(values);
        Targets targets = TargetMatcher.match(config, tree);
        warnings.addAll(targets.warnings());
        return Trainable.of(targets, config.shareExpertAdapters(), OptimizerOptions.from(values));
    }

    /** A rank on the command line alone asks what it would cost. */
    private static boolean asksForTargets(ConfigValues values, Key<?> key) {
        boolean rank = key == LoraKeys.R || key == LoraKeys.LORA_ALPHA;
        return values.isSet(key) && !(rank && values.origin(key).startsWith("--"));
    }
}
