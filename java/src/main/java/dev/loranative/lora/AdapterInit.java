package dev.loranative.lora;

import dev.loranative.config.InitLoraWeights;
import dev.loranative.config.InitLoraWeights.Plain;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.UserException;
import dev.loranative.lora.init.LinearMap;
import dev.loranative.lora.init.LowRank;
import dev.loranative.lora.init.WeightMap;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.WeightRows;
import dev.loranative.random.CounterRandom;
import dev.loranative.tensor.Ops;
import java.util.List;
import java.util.Map;

/**
 * First values of A and B, distributed as PEFT draws them: a function of (seed, module, element), so the same for every
 * thread count and for every choice of other targets.
 */
final class AdapterInit {

    private static final long STREAM_A = 1L << 50;
    private static final long STREAM_B = 1L << 51;
    private static final long STREAM_BASIS = 1L << 52;

    private final LoraConfig lora;
    private final InitLoraWeights init;
    private final long seed;
    private final Map<String, float[]> directions;
    private final LoadedModel model;
    private final Ops ops;

    AdapterInit(AdapterStart start, LoadedModel model) {
        this.lora = start.lora();
        this.init = lora.initLoraWeights();
        this.seed = start.seed();
        this.directions = start.directions();
        this.model = model;
        this.ops = new Ops(model.device());
    }

    /**
     * Where training begins.
     *
     * @param a [r, in]
     * @param b [out, r]
     * @param start the same values, if they are taken out of the base; else null
     */
    record Values(float[] a, float[] b, SubtractedStart start) {}

    /** @throws UserException if the module cannot begin this way */
    Values of(Target target) {
        LinearModule module = target.module();
        return switch (init) {
            case Plain.ORTHOGONAL -> {
                requireEvenRank(target);
                yield values(
                        LowRank.orthogonal(
                                target.r(),
                                Math.toIntExact(module.in()),
                                Math.toIntExact(module.out()),
                                random(STREAM_BASIS, module),
                                random(STREAM_A, module),
                                random(STREAM_B, module)),
                        false);
            }
            case Plain.OLORA -> values(LowRank.olora(weight(target), target.r()), true);
            case InitLoraWeights.Pissa pissa ->
                values(
                        LowRank.pissa(
                                weight(target),
                                target.r(),
                                target.scaling(),
                                pissa.iterations(),
                                random(STREAM_A, module)),
                        true);
            // What is not quantised, such as a router, has lost nothing.
            case InitLoraWeights.Loftq _ ->
                isQuantized(target) ? values(loftq(target), false) : drawn(Plain.KAIMING, target);
            case Plain plain -> drawn(plain, target);
            case InitLoraWeights.Eva _ ->
                new Values(directions.get(module.name()), new float[Math.toIntExact(module.out() * target.r())], null);
        };
    }

    private Values values(LowRank update, boolean subtract) {
        float[] a = update.a().toFloats();
        float[] b = update.b().toFloats();
        return new Values(a, b, subtract ? new SubtractedStart(a, b, lora.scaleOfAlpha()) : null);
    }

    private Values drawn(Plain plain, Target target) {
        LinearModule module = target.module();
        return new Values(a(plain, module, target.r()), b(plain, module, target.r()), null);
    }

    /** [r, in]: uniform in ±1/sqrt(in) (Kaiming with a = sqrt(5)), or normal with deviation 1/r. */
    private float[] a(Plain plain, LinearModule module, int r) {
        CounterRandom random = random(STREAM_A, module);
        float[] values = new float[Math.toIntExact(r * module.in())];
        for (int i = 0; i < values.length; i++) {
            values[i] = plain == Plain.GAUSSIAN
                    ? (float) (normal(random, i) / r)
                    : (float) ((2 * random.uniform(i) - 1) / Math.sqrt(module.in()));
        }
        return values;
    }

    /** [out, r]: zeros, so that training starts from the base model; uniform in ±1/sqrt(r) with init false. */
    private float[] b(Plain plain, LinearModule module, int r) {
        float[] values = new float[Math.toIntExact(module.out() * r)];
        if (plain != Plain.RANDOM) {
            return values;
        }
        CounterRandom random = random(STREAM_B, module);
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) ((2 * random.uniform(i) - 1) / Math.sqrt(r));
        }
        return values;
    }

    /** The weight, of which an update may take away as many directions as it has. */
    private LinearMap weight(Target target) {
        LinearModule module = target.module();
        requireNoDora(target);
        if (target.r() > Math.min(module.in(), module.out())) {
            throw UserException.badInput(
                    "init_lora_weights " + name() + " cannot give " + module.name() + " the rank " + target.r()
                            + ": its weight is [" + module.out() + ", " + module.in() + "]",
                    "lower r, or leave the module out");
        }
        return new WeightMap(model.weight(module), ops);
    }

    /** @throws UserException if the start that was asked for means none of the targets */
    void requireUse(List<Target> targets) {
        if (init instanceof InitLoraWeights.Loftq && targets.stream().noneMatch(this::isQuantized)) {
            throw UserException.badInput(
                    "init_lora_weights loftq makes good what 4-bit quantisation loses, but no target is quantised",
                    "set load_in_4bit, name targets that are quantised, or use another init_lora_weights");
        }
    }

    private boolean isQuantized(Target target) {
        return target.module().kind() != Kind.EMBEDDING
                && model.weight(target.module()).weight().dtype().isQuantized();
    }

    /** What quantising the weight lost, as far as the rank goes; with one iteration the base stays what it is. */
    private LowRank loftq(Target target) {
        LinearModule module = target.module();
        WeightRows original = model.original(module)
                .orElseThrow(() -> UserException.badInput(
                        "init_lora_weights loftq needs the weights before quantisation, and the checkpoint holds "
                                + module.name() + " in 4 bits",
                        "give the model in 16 or 32 bits with load_in_4bit"));
        return LowRank.loftq(
                        new WeightMap(original, ops).whole(),
                        _ -> weight(target).whole(),
                        target.r(),
                        target.scaling(),
                        1,
                        random(STREAM_A, module))
                .update();
    }

    private void requireNoDora(Target target) {
        if (target.dora()) {
            throw UserException.badInput(
                    "init_lora_weights " + name() + " cannot be used with use_dora",
                    "leave one of the two out: DoRA begins as well from true");
        }
    }

    private void requireEvenRank(Target target) {
        if (target.r() % 2 != 0) {
            throw UserException.badInput(
                    "init_lora_weights orthogonal needs an even rank, but "
                            + target.module().name() + " has " + target.r(),
                    "raise or lower r (or its rank_pattern) by one");
        }
    }

    private String name() {
        return String.valueOf(LoraKeys.INIT_LORA_WEIGHTS.write(init));
    }

    private CounterRandom random(long stream, LinearModule module) {
        return new CounterRandom(seed, stream + model.number(module));
    }

    /** [r, vocabulary] and [width, r] of an embedding: zeros and normal; both normal with init false, as in PEFT. */
    Values ofEmbedding(Target target) {
        LinearModule module = target.module();
        if (init.subtractsStart() || init instanceof InitLoraWeights.Loftq) {
            throw UserException.badInput(
                    "init_lora_weights " + name() + " cannot be used on " + module.name() + ", an embedding",
                    "leave it out of the targets, or use another init_lora_weights");
        }
        float[] a = new float[Math.toIntExact(target.r() * module.out())];
        float[] b = new float[Math.toIntExact(module.in() * target.r())];
        if (init == Plain.RANDOM) {
            fillNormal(a, random(STREAM_A, module));
        }
        fillNormal(b, random(STREAM_B, module));
        return new Values(a, b, null);
    }

    /** What all experts of a projection have in common: nothing that comes from one of their weights. */
    Values ofShared(Target first) {
        if (init.subtractsStart() || init instanceof InitLoraWeights.Loftq) {
            throw UserException.badInput(
                    "init_lora_weights " + name()
                            + " cannot be used with share_expert_adapters: every expert's weight gives"
                            + " another start",
                    "leave one of the two out");
        }
        return of(first);
    }

    private static void fillNormal(float[] values, CounterRandom random) {
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) normal(random, i);
        }
    }

    /** Box-Muller on two uniform numbers. */
    private static double normal(CounterRandom random, int element) {
        double radius = Math.sqrt(-2 * Math.log(1 - random.uniform(2L * element)));
        return radius * Math.cos(2 * Math.PI * random.uniform(2L * element + 1));
    }
}
