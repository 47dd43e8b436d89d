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
    private final Tensor gradientScale;
    private long step;

    /** @param moments of the arena */
    public AdamW(Device device, ParameterArena arena, Moments moments, Settings settings) {
        this.settings = settings;
        this.arena = arena;
        this.moments = moments;
        this.gradientScale = Tensor.allocate(device, DType.F32, 1);
    }

    /**
     * Clips, updates the parameters and clears the gradients; nobody waits for the device. Where one of the sums is not
     * finite, parameters and moments stay as they are, and the caller finds that sum when it reads them.
     *
     * @param scheduleFactor of all learning rates
     * @param sums F64: the first gets the sum of the squares of all gradients, before clipping; the others are of the
     *     caller, who wants no step unless they are finite
     */
    public void step(Ops ops, double scheduleFactor, Tensor sums) {
        step++;
        ops.losses().sumOfSquares(arena.gradients(), sums.range(0, 1));
        ops.losses().gradientScale(sums, settings.maxGradNorm(), gradientScale);
        arena.forEachGroup((group, first, count) -> {
            Losses.AdamW arguments = new Losses.AdamW(
                    gradientScale,
                    step,
                    scheduleFactor * settings.learningRates().of(group.rate()),
                    settings.beta1(),
                    settings.beta2(),
                    settings.epsilon(),
                    group.decays() ? settings.weightDecay() : 0);
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
