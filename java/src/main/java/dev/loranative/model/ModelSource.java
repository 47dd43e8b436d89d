package dev.loranative.model;

import dev.loranative.tensor.Ops;
import java.util.List;
import java.util.Optional;

/** Where a model comes from: known before its weights are on a device. */
public sealed interface ModelSource extends AutoCloseable permits ModelFiles, SyntheticModel {

    ModelConfig config();

    ModuleTree tree();

    /** Parameters of the model, whatever they are held in; a tied head counts once. */
    long parameters();

    /** Bytes of all weights once they are on a device. */
    long weightBytes();

    /** What is in 4 bits once loaded; empty if nothing is. */
    Optional<FourBits> fourBits();

    /** What deserves to be said about the options before the model is used. */
    List<String> notes();

    /** Whether loading quantises weights, which takes time and memory of its own. */
    boolean quantizes();

    /** Puts the weights on the device of {@code ops}. The result owns what this holds, which must not be closed then. */
    LoadedModel load(Ops ops, LoadListener listener);

    @Override
    void close();
}
