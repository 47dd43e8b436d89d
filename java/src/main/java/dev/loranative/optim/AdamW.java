package dev.loranative.optim;

import dev.loranative.device.Device;
import dev.loranative.nn.ParameterArena;
import dev.loranative.nn.ParameterGroup;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Losses;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;

/**
 * AdamW with decoupled weight decay (Loshchilov & Hutter 2019) over a whole arena, with clipping by global norm. Groups
 * may have learning rates of their own and go without decay.
 */
public final class AdamW {

    /** transformers adds this to the norm before it divides. */
    private static final double CLIP_EPSILON = 1e-6;

    /**
     * What does not change from step to step.
     *
     * @param learningRates before the schedule
     * @param maxGradNorm 0 for no clipping
     */
    public record Settings(
            LearningRates learningRates,
            double beta1,
            double beta2,
            double epsilon,
            double weightDecay,
            double maxGradNorm) {}

    /**
     * A learning rate for every {@link ParameterGroup.Rate}.
     *
     * @param loraB of matrices B and of vectors
     * @param embedding of low-rank updates of embeddings
     */
    public record LearningRates(double common, double loraB, double embedding) {

        /** The same for all. */
        public static LearningRates of(double rate) {
            return new LearningRates(rate, rate, rate);
        }

        double of(ParameterGroup.Rate rate) {
            return switch (rate) {
                case COMMON -> common;
                case LORA_B -> loraB;
                case EMBEDDING -> embedding;
            };
        }
    }

    private final Settings settings;
    private final ParameterArena arena;
    private final Moments moments;
    private final Tensor norm;
    private long step;

    /** @param moments of the arena */
    public AdamW(Device device, ParameterArena arena, Moments moments, Settings settings) {
        this.settings = settings;
        this.arena = arena;
        this.moments = moments;
        this.norm = Tensor.allocate(device, DType.F64, 1);
    }

    /** Global L2 norm of all gradients, before clipping. */
    public double gradientNorm(Ops ops) {
        ops.losses().sumOfSquares(arena.gradients(), norm);
        return Math.sqrt(norm.toDoubles(ops.device())[0]);
    }

    /**
     * Clips, updates the parameters and clears the gradients.
     *
     * @param scheduleFactor of all learning rates
     * @param gradientNorm as {@link #gradientNorm} gave it
     */
    public void step(Ops ops, double scheduleFactor, double gradientNorm) {
        step++;
        double scale =
                settings.maxGradNorm() > 0 ? Math.min(1, settings.maxGradNorm() / (gradientNorm + CLIP_EPSILON)) : 1;
        arena.forEachGroup((group, first, count) -> {
            Losses.AdamW arguments = new Losses.AdamW(
                    step,
                    scheduleFactor * settings.learningRates().of(group.rate()),
                    settings.beta1(),
                    settings.beta2(),
                    settings.epsilon(),
                    group.decays() ? settings.weightDecay() : 0,
                    scale);
            moments.step(ops, arena, first, count, arguments);
        });
        ops.clear(arena.gradients());
    }

    /** Steps taken. */
    public long steps() {
        return step;
    }

    public Moments moments() {
        return moments;
    }

    /** Continues after that many steps; the moments are to be filled by the caller. */
    public void resume(long stepsTaken) {
        this.step = stepsTaken;
    }
}
