package dev.loranative.nn;

/** The place of a linear layer inside its parent, so that an adapter can be put around it. */
public final class LinearSlot {

    private Linear linear;

    public LinearSlot(Linear linear) {
        this.linear = linear;
    }

    public Linear get() {
        return linear;
    }

    public void set(Linear replacement) {
        this.linear = replacement;
    }
}
