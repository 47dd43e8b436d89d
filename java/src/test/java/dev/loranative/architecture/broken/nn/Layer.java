package dev.loranative.architecture.broken.nn;

import dev.loranative.architecture.broken.cli.Command;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;

/** Breaks the rules on purpose: imports upwards, names the linker and a segment. */
public final class Layer {

    public MemorySegment weight;
    public Linker linker;
    public Command command;
}
