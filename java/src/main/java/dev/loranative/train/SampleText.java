package dev.loranative.train;

import dev.loranative.config.RunOptions;
import dev.loranative.data.IncrementalDecoder;
import dev.loranative.data.Tokenizer;
import dev.loranative.errors.UserException;
import dev.loranative.generate.Generator;
import dev.loranative.generate.SamplingOptions;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.ModelConfig;
import dev.loranative.tensor.Ops;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;

/** Lets the model continue {@code sample_prompt}, to show what it has learnt. Takes all its memory when it is made. */
final class SampleText {

    /** Lively, yet not random: a tiny model that always takes the likeliest token repeats itself. */
    private static final double TEMPERATURE = 0.8;

    /**
     * What is continued.
     *
     * @param ids tokens of the text, at least one
     * @param maxNewTokens fit behind the ids
     */
    record Prompt(String text, int[] ids, int maxNewTokens) {

        /**
         * @param tokenizer asked only if there is a prompt
         * @throws UserException for a prompt that the model has no room to continue
         */
        static Optional<Prompt> of(RunOptions run, Supplier<Tokenizer> tokenizer, ModelConfig model) {
            return run.samplePrompt().map(text -> {
                int[] ids = tokenizer.get().encode(text, true);
                int room = model.longestSequence() - ids.length;
                if (ids.length == 0 || room < 1) {
                    throw UserException.badInput(
                            "sample_prompt has " + ids.length + " tokens, the model takes 1 to "
                                    + (model.longestSequence() - 1),
                            "give another sample_prompt");
                }
                return new Prompt(text, ids, Math.min(run.sampleMaxNewTokens(), room));
            });
        }
    }

    private final Prompt prompt;
    private final Generator generator;
    private final Tokenizer tokenizer;
    private final SamplingOptions options;

    private SampleText(Prompt prompt, Generator generator, Tokenizer tokenizer, SamplingOptions options) {
        this.prompt = prompt;
        this.generator = generator;
        this.tokenizer = tokenizer;
        this.options = options;
    }

    /** To be called before {@code ops} is sealed. */
    static SampleText create(Prompt prompt, Ops ops, LoadedModel model, Tokenizer tokenizer, long seed) {
        return new SampleText(
                prompt,
                Generator.create(ops, model, prompt.ids().length + prompt.maxNewTokens()),
                tokenizer,
                new SamplingOptions(TEMPERATURE, 0, 1, seed));
    }

    /** Bytes taken from the device. */
    long bytes() {
        return generator.bytes();
    }

    /** The prompt and how the model goes on now. Same model, same text. */
    String text() {
        IncrementalDecoder decoder = tokenizer.incrementalDecoder(prompt.ids());
        StringBuilder text = new StringBuilder(prompt.text());
        generator.generate(
                prompt.ids(),
                prompt.maxNewTokens(),
                options,
                Set.copyOf(tokenizer.specialTokens().eosIds()),
                token -> text.append(decoder.add(token)));
        return text.append(decoder.finish()).toString();
    }
}
