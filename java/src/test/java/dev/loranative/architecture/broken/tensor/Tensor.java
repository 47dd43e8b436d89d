package dev.loranative.architecture.broken.tensor;

import java.lang.foreign.MemorySegment;

/** Keeps every rule. */
public final class Tensor {

    public MemorySegment segment;
}
