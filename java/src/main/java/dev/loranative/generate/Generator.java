package dev.loranative.generate;

import dev.loranative.model.CausalLm;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.KeyValueCache;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Pass;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.IntConsumer;

/**
 * Continues a prompt token by token, with a key/value cache: every token runs through the model once. All memory is
 * taken when the generator is made.
 */
public final class Generator {

    /** Tokens of a prompt that run at once; longer prompts take several passes. */
    private static final int PROMPT_CHUNK = 256;

    private final Ops ops;
    private final LoadedModel model;
    private final KeyValueCache cache;
    private final Slab slab;

    private Generator(Ops ops, LoadedModel model, KeyValueCache cache, Slab slab) {
        this.ops = ops;
        this.model = model;
        this.cache = cache;
        this.slab = slab;
    }

    /** Bytes that the generator has taken from its device. */
    public long bytes() {
        return cache.bytes() + slab.capacityBytes();
    }

    /** @param capacity tokens of prompt and continuation together */
    public static Generator create(Ops ops, LoadedModel model, int capacity) {
        model.lm().reservePositions(ops.device(), capacity);
        KeyValueCache cache = new KeyValueCache(
                ops.device(), model.config().layers(), capacity, model.config().keyWidth());
        Slab planning = Slab.planning();
        Generator planned = new Generator(ops, model, cache, planning);
        int chunk = Math.min(PROMPT_CHUNK, capacity);
        ops.plan(() -> {
            planned.nextLogits(new int[chunk]);
            // Scratch may depend on the number of keys: plan the last chunk and the last token too.
            for (int last : new int[] {chunk, 1}) {
                cache.reset();
                cache.advance(capacity - last);
                planned.nextLogits(new int[last]);
            }
        });
        cache.reset();
        return new Generator(ops, model, cache, Slab.allocate(ops.device(), planning.peakBytes()));
    }

    /**
     * @param prompt at least one token
     * @param maxNewTokens prompt and these must fit the capacity
     * @param stopTokens generation ends with one of them
     * @param onToken called for every new token of the text as it comes, so not for the one that ends it
     * @return the new tokens, the one that ended the text included, as transformers' generate returns them
     */
    public int[] generate(
            int[] prompt, int maxNewTokens, SamplingOptions options, Set<Integer> stopTokens, IntConsumer onToken) {
        cache.reset();
        Sampler sampler = new Sampler(options);
        List<Integer> generated = new ArrayList<>();
        float[] logits = null;
        for (int first = 0; first < prompt.length; first += PROMPT_CHUNK) {
            int end = Math.min(first + PROMPT_CHUNK, prompt.length);
            logits = nextLogits(java.util.Arrays.copyOfRange(prompt, first, end));
        }
        for (int index = 0; index < maxNewTokens; index++) {
            int token = sampler.next(logits, index);
            generated.add(token);
            if (stopTokens.contains(token)) {
                break;
            }
            onToken.accept(token);
            if (index + 1 < maxNewTokens) {
                logits = nextLogits(new int[] {token});
            }
        }
        return generated.stream().mapToInt(Integer::intValue).toArray();
    }

    /** Runs tokens that follow those in the cache; null while planning. */
    private float[] nextLogits(int[] ids) {
        CausalLm lm = model.lm();
        slab.release(0);
        int[] positions = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            positions[i] = Math.toIntExact(cache.length() + i);
        }
        PackedTokens tokens = PackedTokens.upload(ops, slab, ids, positions, new int[] {0, ids.length});
        Tensor logits = lm.nextTokenLogits(Pass.generation(ops, slab, tokens, cache));
        return ops.isPlanning() ? null : logits.toFloats(ops.device());
    }
}
