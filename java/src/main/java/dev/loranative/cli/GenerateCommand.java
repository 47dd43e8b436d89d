package dev.loranative.cli;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.QuantizationKeys;
import dev.loranative.config.TrainKeys;
import dev.loranative.data.SpecialTokens;
import dev.loranative.errors.UserException;
import dev.loranative.generate.Generator;
import dev.loranative.generate.SamplingOptions;
import dev.loranative.model.LoadedModel;
import dev.loranative.tensor.Ops;
import dev.loranative.train.MemoryPlan;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import picocli.CommandLine.Command;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** {@code generate}: lets a model, with or without an adapter, continue a text. */
@Command(
        name = "generate",
        header = "continues a text",
        customSynopsis = "lora-native generate --model DIR [--adapter DIR] --prompt TEXT [OPTIONS]",
        description = "Continues a text; the new text goes to standard output as it comes.")
final class GenerateCommand extends EngineCommand {

    @Override
    List<Key<?>> keys() {
        List<Key<?>> keys = new ArrayList<>(List.of(
                TrainKeys.MODEL,
                CommandKeys.ADAPTERS,
                CommandKeys.USE,
                CommandKeys.ADAPTER_WEIGHTS,
                CommandKeys.COMBINATION_TYPE,
                CommandKeys.PROMPT,
                CommandKeys.PROMPT_IDS,
                CommandKeys.MESSAGES,
                CommandKeys.MAX_NEW_TOKENS,
                CommandKeys.TEMPERATURE,
                CommandKeys.TOP_P,
                CommandKeys.TOP_K,
                CommandKeys.SEED));
        keys.addAll(QuantizationKeys.ALL);
        keys.addAll(TrainKeys.MACHINE);
        return keys;
    }

    @Override
    List<String> examples() {
        return List.of(
                "generate --model examples/tiny-moe --adapter output/attention --prompt \"Alice was\"",
                "generate --model examples/tiny-moe --adapter a=output/attention --adapter b=output/experts --use a,b,base \\\n"
                        + "      --prompt \"Alice was\"",
                "generate --model examples/tiny-moe --prompt-ids 36,80 --temperature 0 --max-new-tokens 20 --json");
    }

    @Override
    int run(ConfigValues values, Console console) {
        SamplingOptions sampling = new SamplingOptions(
                values.get(CommandKeys.TEMPERATURE),
                values.get(CommandKeys.TOP_K),
                values.get(CommandKeys.TOP_P),
                values.get(CommandKeys.SEED));
        Prompt.requireOne(values);
        try (ModelInUse opened = ModelInUse.open(values, true, console)) {
            Prompt prompt = Prompt.of(values, opened, console);
            int maxNewTokens = maxNewTokens(values.get(CommandKeys.MAX_NEW_TOKENS), prompt, opened, console);
            Set<Integer> ends = ends(values, prompt);
            Generator generator = generator(opened, prompt.ids().length + maxNewTokens);
            List<ObjectNode> results = new ArrayList<>();
            for (String turn : opened.turns()) {
                opened.use(turn);
                if (opened.turns().size() > 1 && !console.json()) {
                    console.note("adapter " + turn + ":");
                }
                TextStream stream = new TextStream(prompt, console);
                long start = System.nanoTime();
                int[] ids = generator.generate(prompt.ids(), maxNewTokens, sampling, ends, stream::add);
                double seconds = (System.nanoTime() - start) / 1e9;
                String text = stream.finish();
                results.add(json(text, ids, ids.length / seconds));
                if (!console.json()) {
                    console.note(String.format(
                            Locale.ROOT,
                            "%d tokens in %.1f s, %s tokens/s",
                            ids.length,
                            seconds,
                            Quantities.rate(ids.length / seconds)));
                }
            }
            if (console.json()) {
                console.result(results.size() == 1 ? results.getFirst() : inTurn(opened.turns(), results));
            }
        }
        return 0;
    }

    private static ObjectNode inTurn(List<String> turns, List<ObjectNode> results) {
        ObjectNode json = Console.JSON.createObjectNode();
        ArrayNode list = json.putArray("results");
        for (int i = 0; i < results.size(); i++) {
            list.addObject().put("adapter", turns.get(i)).setAll(results.get(i));
        }
        return json;
    }

    private static int maxNewTokens(int wanted, Prompt prompt, ModelInUse opened, Console console) {
        int maximum = opened.config().longestSequence();
        int room = maximum - prompt.ids().length;
        if (room < 1) {
            throw UserException.badInput(
                    "the prompt has " + prompt.ids().length + " tokens, but the model takes at most " + maximum
                            + " (max_position_embeddings), new ones included",
                    "shorten the prompt");
        }
        if (wanted > room) {
            console.warning("at most " + room + " of " + wanted + " new tokens: the model takes at most " + maximum
                    + " with the prompt");
        }
        return Math.min(wanted, room);
    }

    private static Set<Integer> ends(ConfigValues values, Prompt prompt) {
        Set<Integer> ends =
                new HashSet<>(SpecialTokens.load(values.get(TrainKeys.MODEL)).eosIds());
        prompt.tokenizer()
                .ifPresent(tokenizer -> ends.addAll(tokenizer.specialTokens().eosIds()));
        return ends;
    }

    private static Generator generator(ModelInUse opened, int capacity) {
        long cacheBytes =
                2L * opened.config().layers() * capacity * opened.config().keyWidth() * Float.BYTES;
        LoadedModel model = opened.load();
        Ops ops = new Ops(model.device());
        Map<String, Long> memory = opened.memory(ops);
        memory.put("keys and values", cacheBytes);
        new MemoryPlan(memory).requireFits(model.device(), opened.machine().maxMemoryBytes(), "lower max_new_tokens");
        return Generator.create(ops, model, capacity);
    }

    private static ObjectNode json(String text, int[] ids, double tokensPerSecond) {
        ObjectNode json = Console.JSON.createObjectNode();
        json.put("text", text);
        ArrayNode tokens = json.putArray("token_ids");
        for (int id : ids) {
            tokens.add(id);
        }
        return json.put("tokens_per_second", Math.round(tokensPerSecond * 10) / 10.0);
    }
}
