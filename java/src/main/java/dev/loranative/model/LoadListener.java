package dev.loranative.model;

/** Hears how far the loading of a model is. */
@FunctionalInterface
public interface LoadListener {

    /** Hears nothing. */
    LoadListener NONE = (done, total) -> {};

    /**
     * After every weight that was quantised.
     *
     * @param done weights quantised so far
     * @param total weights to quantise
     */
    void quantized(int done, int total);
}
