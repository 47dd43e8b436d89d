package dev.loranative.tensor.cases;

import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * A case on a device: its inputs are there, its outputs are not computed. {@link #outputs} holds after exactly one
 * {@link #run}; further runs are legal, take as long, and keep all numbers finite.
 */
public final class OpRun {

    private final Runnable call;
    private final Supplier<List<Output>> outputs;
    private final Derivative derivative;

    /**
     * The forward pass whose gradients a backward call computes.
     *
     * @param forward writes y from the inputs
     * @param y what the loss is a weighted sum of
     * @param dy its weights
     * @param inputs with where the call leaves their gradients
     */
    public record Derivative(Runnable forward, Tensor y, Tensor dy, List<Input> inputs) {}

    /** @param accumulates whether the gradient is added to what was there, as for parameters */
    public record Input(String name, Tensor value, Tensor gradient, boolean accumulates) {}

    private OpRun(Runnable call, Supplier<List<Output>> outputs, Derivative derivative) {
        this.call = call;
        this.outputs = outputs;
        this.derivative = derivative;
    }

    /** @param outputs computes what is expected, when it is asked for: timing needs none of it */
    static OpRun of(Runnable call, Supplier<List<Output>> outputs) {
        return new OpRun(call, outputs, null);
    }

    /** The call is the backward pass of {@code forward}. */
    OpRun derivativeOf(Runnable forward, Tensor y, Tensor dy, List<Input> inputs) {
        return new OpRun(call, outputs, new Derivative(forward, y, dy, new ArrayList<>(inputs)));
    }

    static Input activation(String name, Tensor value, Tensor gradient) {
        return new Input(name, value, gradient, false);
    }

    static Input parameter(String name, Tensor value, Tensor gradient) {
        return new Input(name, value, gradient, true);
    }

    public void run() {
        call.run();
    }

    public List<Output> outputs() {
        return outputs.get();
    }

    public Optional<Derivative> derivative() {
        return Optional.ofNullable(derivative);
    }
}
