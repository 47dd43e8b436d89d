package dev.loranative.model;

import java.util.List;

/**
 * A linear map of the model that training can name.
 *
 * @param name as in the checkpoint, without {@code .weight}
 * @param layer -1 outside the decoder layers
 * @param expert -1 except for a routed expert's projection
 * @param out rows of the weight; for {@link Kind#EMBEDDING} the vocabulary
 * @param in columns of the weight
 * @param bias whether the checkpoint holds a bias
 * @param aliases other names of the same module, as transformers spells it in memory since version 5
 */
public record LinearModule(
        String name, Kind kind, int layer, int expert, long out, long in, boolean bias, List<String> aliases) {

    /** What a linear map is for. */
    public enum Kind {
        ATTENTION,
        /** Projections of plain MLPs and of shared experts, and the gate of a shared expert. */
        MLP,
        /** Chooses the experts of a token. */
        ROUTER,
        /** A projection of one routed expert. */
        EXPERT,
        EMBEDDING,
        HEAD
    }

    public LinearModule {
        aliases = List.copyOf(aliases);
    }
}
