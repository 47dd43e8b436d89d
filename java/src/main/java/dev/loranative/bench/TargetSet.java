package dev.loranative.bench;

import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule;
import dev.loranative.model.ModelConfig;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What a measured training trains.
 *
 * @param name as it was asked for
 * @param groups of {@code target_modules}
 */
public record TargetSet(String name, List<String> groups) {

    private static final String ALL = "all";

    public TargetSet {
        groups = List.copyOf(groups);
    }

    /**
     * @param name {@code attention}, {@code mlp}, {@code router}, {@code experts}, several of them joined by {@code +}, or
     *     {@code all}: every one that the model has
     * @throws UserException for another word, or a group that the model does not have
     */
    public static TargetSet of(String name, ModelConfig config) {
        Set<String> there = groups(config);
        if (name.equals(ALL)) {
            return new TargetSet(name, List.copyOf(there));
        }
        List<String> groups = new ArrayList<>();
        for (String group : name.split("\\+", -1)) {
            if (!there.contains(group)) {
                throw UserException.badInput(
                        "targets has '" + name + "', but " + config.modelType() + " has no '" + group + "'",
                        "use " + String.join(", ", there) + ", several joined by +, or " + ALL);
            }
            groups.add(group);
        }
        return new TargetSet(name, groups);
    }

    /** In the order of the computation. */
    private static Set<String> groups(ModelConfig config) {
        return ModuleTree.of(config).modules().stream()
                .map(TargetSet::group)
                .flatMap(Optional::stream)
                .collect(Collectors.toCollection(java.util.LinkedHashSet::new));
    }

    private static Optional<String> group(LinearModule module) {
        return switch (module.kind()) {
            case ATTENTION -> Optional.of("attention");
            case MLP -> Optional.of("mlp");
            case ROUTER -> Optional.of("router");
            case EXPERT -> Optional.of("experts");
            case EMBEDDING, HEAD -> Optional.empty();
        };
    }
}
