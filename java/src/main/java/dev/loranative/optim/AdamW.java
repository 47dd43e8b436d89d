package dev.loranative.optim;

import dev.loranative.device.Device;
import dev.loranative.nn.ParameterArena;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Losses;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;

/** AdamW with decoupled weight decay (Loshchilov & Hutter 2019) over a whole arena, with clipping by global norm. */
public final class AdamW {

    /** transformers adds this to the norm before it divides. */
    private static final double CLIP_EPSILON = 1e-6;

    /** @param maxGradNorm 0 for no clipping */
    public record Settings(double beta1, double beta2, double epsilon, double weightDecay, double maxGradNorm) {}

    private final Settings settings;
    private final ParameterArena arena;
    private final Tensor firstMoments;
    private final Tensor secondMoments;
    private final Tensor norm;
    private long step;

    public AdamW(Device device, ParameterArena arena, Settings settings) {
        this.settings = settings;
        this.arena = arena;
        this.firstMoments = Tensor.allocate(device, DType.F32, arena.size());
        this.secondMoments = Tensor.allocate(device, DType.F32, arena.size());
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
     * @param gradientNorm as {@link #gradientNorm} gave it
     */
    public void step(Ops ops, double learningRate, double gradientNorm) {
        step++;
        double scale = 1;
        if (settings.maxGradNorm() > 0) {
            scale = Math.min(1, settings.maxGradNorm() / (gradientNorm + CLIP_EPSILON));
        }
        Losses.AdamW arguments = new Losses.AdamW(
                step,
                learningRate,
                settings.beta1(),
                settings.beta2(),
                settings.epsilon(),
                settings.weightDecay(),
                scale);
        ops.losses().adamW(arena.values(), arena.gradients(), firstMoments, secondMoments, arguments);
        ops.clear(arena.gradients());
    }

    /** Steps taken. */
    public long steps() {
        return step;
    }

    /** F32, as many elements as the arena. */
    public Tensor firstMoments() {
        return firstMoments;
    }

    /** F32, as many elements as the arena. */
    public Tensor secondMoments() {
        return secondMoments;
    }

    /** Continues after that many steps; the moments are to be filled by the caller. */
    public void resume(long stepsTaken) {
        this.step = stepsTaken;
    }
}
