package dev.loranative.cli;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.MachineOptions;
import dev.loranative.config.QuantizationKeys;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.config.TrainConfig;
import dev.loranative.config.TrainKeys;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.merge.LogitDifference;
import dev.loranative.lora.merge.Merge;
import dev.loranative.lora.merge.MergeReport;
import dev.loranative.model.ModelFiles;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import picocli.CommandLine.Command;
import tools.jackson.databind.node.ObjectNode;

/** {@code merge}: base model and adapter as one model, proven equal to the two. */
@Command(
        name = "merge",
        header = "base model + adapter as one model that any tool loads",
        customSynopsis = "lora-native merge --model DIR --adapter DIR --output DIR [OPTIONS]",
        description = "Writes a full model in which the adapter is part of the weights, and compares it with base +"
                + " adapter: every changed weight, and the logits of a text.%nEnds with exit code 1, and keeps nothing,"
                + " if they differ by more than rounding explains.")
final class MergeCommand extends EngineCommand {

    @Override
    List<Key<?>> keys() {
        List<Key<?>> keys = new ArrayList<>(List.of(
                TrainKeys.MODEL,
                CommandKeys.ADAPTERS,
                CommandKeys.ADAPTER_WEIGHTS,
                CommandKeys.COMBINATION_TYPE,
                CommandKeys.OUTPUT,
                CommandKeys.MERGED_DTYPE,
                CommandKeys.MAX_SHARD_SIZE,
                CommandKeys.VERIFY_PROMPT,
                CommandKeys.VERIFY_IDS,
                CommandKeys.VERIFY_DATA));
        keys.addAll(TrainKeys.MACHINE);
        keys.addAll(QuantizationKeys.ALL);
        return keys;
    }

    @Override
    List<String> examples() {
        return List.of(
                "merge --model examples/tiny-moe --adapter output/attention --output merged",
                "merge --model DIR --adapter DIR --output merged --dtype bfloat16 --max-shard-size 5GB --prompt \"Hello\"",
                "merge --model DIR --adapter a=DIR --adapter b=DIR --adapter-weights 0.7,0.3 --output merged");
    }

    @Override
    int run(ConfigValues values, Console console) {
        TrainConfig.require(values, TrainKeys.MODEL, "--model DIR");
        TrainConfig.require(values, CommandKeys.ADAPTERS, "--adapter DIR");
        TrainConfig.require(values, CommandKeys.OUTPUT, "--output DIR");
        VerificationTokens.requireAtMostOne(values);
        AdapterOptions options = AdapterOptions.from(values, false);
        Path model = values.get(TrainKeys.MODEL);
        Adapter adapter;
        List<int[]> tokens;
        QuantizationOptions quantization = QuantizationOptions.from(values);
        try (ModelFiles files = ModelFiles.openWithExtras(model, quantization)) {
            adapter = options.read(files.tree(), console).values().iterator().next();
            tokens = VerificationTokens.of(values, model, files.config());
        }
        Long shardBytes = values.get(CommandKeys.MAX_SHARD_SIZE);
        Merge merge = new Merge(
                model,
                quantization,
                adapter,
                values.get(CommandKeys.OUTPUT),
                type(values.get(CommandKeys.MERGED_DTYPE)),
                shardBytes == null ? OptionalLong.empty() : OptionalLong.of(shardBytes),
                tokens,
                MachineOptions.from(values));
        MergeReport report = run(merge, console);
        if (console.json()) {
            console.result(json(report));
        } else {
            text(report, console);
        }
        return 0;
    }

    private static MergeReport run(Merge merge, Console console) {
        StatusLine status = new StatusLine(console, System::nanoTime);
        boolean[] comparing = {false};
        try {
            return merge.run(new Merge.Listener() {
                @Override
                public void warning(String line) {
                    status.clear();
                    console.warning(line);
                }

                @Override
                public void writing(String tensor, long done, long bytes) {
                    if (done == 0) {
                        console.note("writing " + Quantities.bytes(bytes) + " to " + merge.output());
                    }
                    status.draw("merge " + 100 * done / Math.max(1, bytes) + " % " + tensor);
                }

                @Override
                public void comparing(String what) {
                    if (!comparing[0]) {
                        status.clear();
                        console.note("comparing with base + adapter");
                        comparing[0] = true;
                    }
                    status.draw("compare " + what);
                }
            });
        } finally {
            status.clear();
        }
    }

    private static Optional<ElementType> type(String dtype) {
        return switch (dtype) {
            case null -> Optional.empty();
            case "float32" -> Optional.of(ElementType.F32);
            case "bfloat16" -> Optional.of(ElementType.BF16);
            case "float16" -> Optional.of(ElementType.F16);
            default ->
                throw UserException.badInput("--dtype " + dtype + " is unknown", "give float32, bfloat16 or float16");
        };
    }

    private static void text(MergeReport report, Console console) {
        LogitDifference logits = report.logits();
        console.result("merged   " + report.output());
        console.result("weights  " + report.dtype() + ", " + report.tensors() + " tensors, "
                + Quantities.bytes(report.bytes()) + " in " + report.files()
                + (report.files() == 1 ? " file" : " files")
                + (report.untied() ? ", head no longer tied to the embedding" : ""));
        console.result(
                "changed  " + report.changed() + " tensors; the one farthest from base + update: " + report.worst()
                        + ", " + Quantities.scientific(report.worstDifference()) + " of its largest number (rounding: "
                        + Quantities.scientific(report.weightBound()) + ")");
        console.result("logits   max difference " + Quantities.scientific(logits.max()) + ", mean "
                + Quantities.scientific(logits.mean()) + " on " + logits.tokens() + " tokens; largest logit "
                + Quantities.small(logits.scale()) + "; allowed "
                + Quantities.scientific(logits.bound() * logits.scale())
                + (logits.beyond() == 0
                        ? ""
                        : "; " + logits.beyond()
                                + " tokens beyond that: near ties at a router, decided otherwise by rounding"));
    }

    private static ObjectNode json(MergeReport report) {
        LogitDifference logits = report.logits();
        ObjectNode json = Console.JSON
                .createObjectNode()
                .put("output_dir", report.output().toString())
                .put("dtype", report.dtype())
                .put("tensors", report.tensors())
                .put("bytes", report.bytes())
                .put("files", report.files())
                .put("untied", report.untied());
        json.putObject("weights")
                .put("changed", report.changed())
                .put("worst", report.worst())
                .put("worst_difference", report.worstDifference())
                .put("bound", report.weightBound());
        json.putObject("logits")
                .put("tokens", logits.tokens())
                .put("scale", logits.scale())
                .put("max_difference", logits.max())
                .put("mean_difference", logits.mean())
                .put("bound", logits.bound() * logits.scale())
                .put("tokens_beyond", logits.beyond());
        return json;
    }
}
