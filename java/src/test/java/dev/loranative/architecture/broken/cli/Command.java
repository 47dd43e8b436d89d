package dev.loranative.architecture.broken.cli;

import dev.loranative.architecture.broken.nn.Layer;

/** Allowed by itself; with {@link Layer} it closes a cycle. */
public final class Command {

    public Layer layer;
}
