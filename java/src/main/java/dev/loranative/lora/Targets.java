package dev.loranative.lora;

import dev.loranative.nn.ParameterGroup;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * What is trained.
 *
 * @param list modules that get a low-rank update, in the order of the module tree; may be empty, then an adapter file must
 *     say {@link dev.loranative.config.ModuleNames#NOTHING} as its {@code target_modules} to be read by PEFT
 * @param full tensors that are trained as they are, each once; the embedding also stands for a head that is tied to it
 * @param tokens rows of embeddings that are trained as they are
 * @param warnings one line each, for the user
 */
public record Targets(List<Target> list, List<FullTarget> full, List<TokenTarget> tokens, List<String> warnings) {

    public Targets {
        list = List.copyOf(list);
        full = List.copyOf(full);
        tokens = List.copyOf(tokens);
        warnings = List.copyOf(warnings);
    }

    /**
     * Trained numbers of every group of the optimizer that has any.
     *
     * @param shareExperts whether the experts of a projection have one update
     * @param groups the group of a tensor by its name
     */
    public Map<ParameterGroup, Long> sizes(boolean shareExperts, Function<String, ParameterGroup> groups) {
        List<Target> stored = shareExperts ? ParameterNames.oneOfProjection(list, Target::module) : list;
        return ParameterNames.sizes(new Targets(stored, full, tokens, List.of()), groups);
    }

    /** Trainable numbers of all targets. */
    public long parameters() {
        return list.stream().mapToLong(Target::parameters).sum()
                + full.stream().mapToLong(FullTarget::parameters).sum()
                + tokens.stream().mapToLong(TokenTarget::parameters).sum();
    }
}
