package dev.loranative.lora;

import dev.loranative.config.InitLoraWeights;
import dev.loranative.random.CounterRandom;

/**
 * First values of A and B, distributed as PEFT draws them: a function of (seed, module, element), so the same for every
 * thread count and for every choice of other targets.
 */
final class AdapterInit {

    private static final long STREAM_A = 1L << 50;
    private static final long STREAM_B = 1L << 51;

    private final InitLoraWeights init;
    private final long seed;

    AdapterInit(InitLoraWeights init, long seed) {
        this.init = init;
        this.seed = seed;
    }

    /** [r, in]: uniform in ±1/sqrt(in) (Kaiming with a = sqrt(5)), or normal with deviation 1/r. */
    float[] a(int module, int r, long in) {
        CounterRandom random = new CounterRandom(seed, STREAM_A + module);
        float[] values = new float[Math.toIntExact(r * in)];
        for (int i = 0; i < values.length; i++) {
            values[i] = init == InitLoraWeights.GAUSSIAN
                    ? (float) (normal(random, i) / r)
                    : (float) ((2 * random.uniform(i) - 1) / Math.sqrt(in));
        }
        return values;
    }

    /** [out, r]: zeros, so that training starts from the base model; uniform in ±1/sqrt(r) with init false. */
    float[] b(int module, int r, long out) {
        float[] values = new float[Math.toIntExact(out * r)];
        if (init != InitLoraWeights.RANDOM) {
            return values;
        }
        CounterRandom random = new CounterRandom(seed, STREAM_B + module);
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) ((2 * random.uniform(i) - 1) / Math.sqrt(r));
        }
        return values;
    }

    /** [r, vocabulary] of an embedding: zeros, normal with init false (PEFT draws both matrices then). */
    float[] embeddingA(int module, int r, long vocabulary) {
        float[] values = new float[Math.toIntExact(r * vocabulary)];
        return init == InitLoraWeights.RANDOM ? normals(values, STREAM_A + module) : values;
    }

    /** [width, r] of an embedding: normal. */
    float[] embeddingB(int module, int r, long width) {
        return normals(new float[Math.toIntExact(width * r)], STREAM_B + module);
    }

    private float[] normals(float[] values, long stream) {
        CounterRandom random = new CounterRandom(seed, stream);
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) normal(random, i);
        }
        return values;
    }

    /** Box-Muller on two uniform numbers. */
    private static double normal(CounterRandom random, int element) {
        double radius = Math.sqrt(-2 * Math.log(1 - random.uniform(2L * element)));
        return radius * Math.cos(2 * Math.PI * random.uniform(2L * element + 1));
    }
}
