package dev.loranative.cli;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.QuantizationKeys;
import dev.loranative.config.TrainConfig;
import dev.loranative.config.TrainKeys;
import dev.loranative.data.DataSet;
import dev.loranative.data.Sample;
import dev.loranative.data.SampleOptions;
import dev.loranative.model.LoadedModel;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.train.Evaluator;
import dev.loranative.train.MemoryPlan;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** {@code eval}: the loss of a model, with or without an adapter, on data. */
@Command(
        name = "eval",
        header = "loss and perplexity of a model, with or without an adapter",
        customSynopsis = "lora-native eval --model DIR [--adapter DIR] --data FILE [OPTIONS]",
        description = "Measures the mean loss of a model's predictions per token, and the perplexity.")
final class EvalCommand extends EngineCommand {

    @Override
    List<Key<?>> keys() {
        List<Key<?>> keys = new ArrayList<>(List.of(
                TrainKeys.MODEL,
                CommandKeys.ADAPTERS,
                CommandKeys.ADAPTER_WEIGHTS,
                CommandKeys.COMBINATION_TYPE,
                CommandKeys.EVALUATED,
                TrainKeys.MAX_LENGTH,
                TrainKeys.COMPLETION_ONLY_LOSS,
                TrainKeys.EVAL_BATCH_SIZE,
                CommandKeys.PER_EXAMPLE));
        keys.addAll(QuantizationKeys.ALL);
        keys.addAll(TrainKeys.MACHINE);
        return keys;
    }

    @Override
    List<String> examples() {
        return List.of(
                "eval --model examples/tiny-moe --data examples/data/alice-eval.txt --max-length 128",
                "eval --model examples/tiny-moe --adapter output/attention --data examples/data/alice-eval.txt --json");
    }

    @Override
    int run(ConfigValues values, Console console) {
        TrainConfig.require(values, TrainKeys.MODEL, "--model DIR");
        TrainConfig.require(values, CommandKeys.EVALUATED, "--data FILE");
        try (ModelInUse opened = ModelInUse.open(values, false, console)) {
            DataSet data = data(values, opened);
            data.report().warnings().forEach(console::warning);
            show(evaluate(values, opened, data, console), data, values.get(CommandKeys.PER_EXAMPLE), console);
        }
        return 0;
    }

    private static DataSet data(ConfigValues values, ModelInUse opened) {
        Boolean completionOnly = values.get(TrainKeys.COMPLETION_ONLY_LOSS);
        return DataSet.load(
                values.get(CommandKeys.EVALUATED),
                opened.tokenizer(),
                new SampleOptions(
                        values.optionalInt(TrainKeys.MAX_LENGTH),
                        opened.config().longestSequence(),
                        opened.config().vocabSize(),
                        completionOnly == null || completionOnly));
    }

    private static Evaluator.Result evaluate(ConfigValues values, ModelInUse opened, DataSet data, Console console) {
        LoadedModel model = opened.load();
        Ops ops = new Ops(model.device());
        Evaluator evaluator = new Evaluator(ops, model, data.samples(), values.get(TrainKeys.EVAL_BATCH_SIZE));
        model.lm().reservePositions(model.device(), evaluator.longestSequence());
        long activations = evaluator.plan();
        Map<String, Long> memory = opened.memory(ops);
        memory.put("activations", activations);
        new MemoryPlan(memory)
                .requireFits(
                        model.device(),
                        opened.machine().maxMemoryBytes(),
                        "lower per_device_eval_batch_size or max_length");
        ops.seal();
        Slab slab = Slab.allocate(model.device(), activations);
        StatusLine status = new StatusLine(console, System::nanoTime);
        try {
            int samples = data.samples().size();
            return evaluator.run(slab, done -> status.draw("eval " + done + "/" + samples + " samples"));
        } finally {
            status.clear();
        }
    }

    private static void show(Evaluator.Result result, DataSet data, boolean perExample, Console console) {
        if (console.json()) {
            console.result(json(result, perExample));
            return;
        }
        if (perExample) {
            List<Sample> samples = data.samples();
            for (int i = 0; i < samples.size(); i++) {
                Evaluator.Example example = result.examples().get(i);
                console.result(samples.get(i).place() + "  loss " + Quantities.loss(example.loss()) + "  tokens "
                        + example.tokens());
            }
        }
        console.result("loss        " + Quantities.loss(result.loss()));
        console.result("perplexity  " + Quantities.small(result.perplexity()));
        console.result("tokens      " + result.tokens());
    }

    private static ObjectNode json(Evaluator.Result result, boolean perExample) {
        ObjectNode json = Console.JSON
                .createObjectNode()
                .put("loss", result.loss())
                .put("perplexity", result.perplexity())
                .put("tokens", result.tokens());
        if (perExample) {
            ArrayNode examples = json.putArray("examples");
            for (Evaluator.Example example : result.examples()) {
                ObjectNode entry = examples.addObject();
                if (example.tokens() == 0) {
                    // JSON has no NaN, and a mean over nothing is no number.
                    entry.putNull("loss");
                } else {
                    entry.put("loss", example.loss());
                }
                entry.put("tokens", example.tokens());
            }
        }
        return json;
    }
}
