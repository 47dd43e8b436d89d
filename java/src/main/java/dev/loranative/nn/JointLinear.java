package dev.loranative.nn;

import dev.loranative.tensor.JointProducts;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/**
 * Linear layers that read the same input. They are one op where each is a product with its input, with or without an
 * adapter that reads the same; where one is more than that, each runs by itself.
 */
final class JointLinear {

    private final List<LinearSlot> slots;

    /** @param slots at most {@link JointProducts#MOST_LAYERS} */
    JointLinear(LinearSlot... slots) {
        this.slots = List.of(slots);
    }

    boolean isTrainable() {
        return slots.stream().anyMatch(slot -> slot.get().isTrainable());
    }

    /**
     * @param x [rows, in]
     * @param ys [rows, out] of every layer, written
     */
    void forward(Pass pass, Tensor x, List<Tensor> ys) {
        if (!joins(pass)) {
            for (int i = 0; i < slots.size(); i++) {
                slots.get(i).get().forward(pass, x, ys.get(i));
            }
            return;
        }
        Slab slab = pass.slab();
        long start = slab.mark();
        List<JointProducts.Forward> layers = new ArrayList<>();
        for (int i = 0; i < slots.size(); i++) {
            Tensor y = ys.get(i);
            layers.add(
                    switch (slots.get(i).get()) {
                        case DenseLinear dense ->
                            new JointProducts.Forward(dense.weight(), dense.bias(), null, null, y);
                        case LoraLinear adapted -> adapted.forwardPart(pass, x, y);
                        case DoraLinear dora -> throw alone(dora);
                        case ObservedLinear observed -> throw alone(observed);
                    });
        }
        pass.ops().jointProducts().forward(x, layers);
        if (!pass.saving()) {
            slab.release(start);
        }
    }

    /**
     * @param dys [rows, out] of every layer
     * @param x what forward was given
     * @param dx [rows, in], the sum over the layers; null when nobody needs it
     * @param accumulate dx += instead of dx =
     */
    void backward(Pass pass, List<Tensor> dys, Tensor x, Tensor dx, boolean accumulate) {
        if (!joins(pass)) {
            for (int i = 0; i < slots.size(); i++) {
                slots.get(i).get().backward(pass, dys.get(i), x, dx, accumulate || i > 0);
            }
            return;
        }
        Slab slab = pass.slab();
        long start = slab.mark();
        List<JointProducts.Backward> layers = new ArrayList<>();
        for (int i = 0; i < slots.size(); i++) {
            Tensor dy = dys.get(i);
            switch (slots.get(i).get()) {
                case DenseLinear dense -> {
                    dense.parameterGradients(pass, dy, x);
                    if (dx != null) {
                        layers.add(new JointProducts.Backward(dy, dense.weight(), null, null, null));
                    }
                }
                case LoraLinear adapted -> {
                    adapted.baseGradients(pass, dy, x);
                    if (dx != null || adapted.trainsAdapter()) {
                        layers.add(adapted.backwardPart(pass, dy));
                    }
                }
                case DoraLinear dora -> throw alone(dora);
                case ObservedLinear observed -> throw alone(observed);
            }
        }
        if (!layers.isEmpty()) {
            pass.ops().jointProducts().backward(x, layers, dx, accumulate);
        }
        slab.release(start);
    }

    /** Whether the layers are one op in this pass. */
    boolean joins(Pass pass) {
        return slots.stream().allMatch(slot -> switch (slot.get()) {
            case DenseLinear dense -> true;
            case LoraLinear adapted -> adapted.readsInputAlone(pass);
            case DoraLinear dora -> false;
            case ObservedLinear observed -> false;
        });
    }

    private static AssertionError alone(Linear linear) {
        return new AssertionError(linear + " runs by itself");
    }
}
