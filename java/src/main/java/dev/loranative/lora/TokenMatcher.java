package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.TrainableTokens;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * {@code trainable_token_indices}: which rows of embedding and head are trained as they are. As in PEFT 0.21 a name is the end
 * of a module's, without regard to dots. The head that is tied to the embedding follows it and is never named itself.
 */
final class TokenMatcher {

    private static final String SETTING = "trainable_token_indices";

    private final TrainableTokens asked;
    private final ModuleTree tree;

    private TokenMatcher(TrainableTokens asked, ModuleTree tree) {
        this.asked = asked;
        this.tree = tree;
    }

    /**
     * @param full what is trained in full: no row of it can be trained on its own
     * @param lowRank as {@code full}
     * @throws UserException if a name is none of an embedding or head, a row does not exist, or a module is named twice
     */
    static List<TokenTarget> match(LoraConfig config, ModuleTree tree, FullMatcher full, List<Target> lowRank) {
        return new TokenMatcher(config.trainableTokens(), tree)
                .match(full, lowRank.stream().map(Target::module).collect(Collectors.toSet()));
    }

    private List<TokenTarget> match(FullMatcher full, Set<LinearModule> lowRank) {
        Map<LinearModule, List<Integer>> rows = new LinkedHashMap<>();
        asked.rows().forEach((text, indices) -> {
            for (LinearModule module : modules(text)) {
                if (rows.put(module, indices) != null) {
                    throw UserException.badInput(
                            SETTING + " names " + module.name() + " twice", "give one list of rows for each module");
                }
            }
        });
        List<TokenTarget> targets = new ArrayList<>();
        rows.forEach((module, indices) -> {
            indices.stream().filter(index -> index >= module.out()).findFirst().ifPresent(index -> {
                throw UserException.badInput(
                        SETTING + ": there is no token " + index + ", " + module.name() + " has " + module.out()
                                + " rows",
                        "give numbers from 0 to " + (module.out() - 1));
            });
            boolean whole = full.trains(module);
            if (whole || lowRank.contains(module)) {
                throw UserException.badInput(
                        SETTING + " names rows of " + module.name() + ", which "
                                + (whole ? "modules_to_save trains in full" : "is a target of LoRA"),
                        "leave one of the two out");
            }
            if (!isTiedHead(module) || !tokensOfEmbedding(rows).equals(indices)) {
                requireOwnTensor(module);
                targets.add(new TokenTarget(module.name(), indices, module.in()));
            }
        });
        return targets;
    }

    private List<LinearModule> modules(String text) {
        if (text.equals(TrainableTokens.INPUT_EMBEDDING)) {
            return ofKind(Kind.EMBEDDING);
        }
        List<LinearModule> named = tree.modules().stream()
                .filter(module -> module.kind() == Kind.EMBEDDING || module.kind() == Kind.HEAD)
                .filter(module -> module.name().endsWith(text))
                .toList();
        if (named.isEmpty()) {
            throw UserException.badInput(
                    SETTING + ": '" + text + "' matches neither the embedding nor the head of this model",
                    "give a list of numbers for the embedding, or {embed_tokens: [N], lm_head: [N]}");
        }
        return named;
    }

    private List<LinearModule> ofKind(Kind kind) {
        return tree.modules().stream().filter(module -> module.kind() == kind).toList();
    }

    private List<Integer> tokensOfEmbedding(Map<LinearModule, List<Integer>> rows) {
        return ofKind(Kind.EMBEDDING).stream()
                .findFirst()
                .map(module -> rows.getOrDefault(module, List.of()))
                .orElse(List.of());
    }

    private boolean isTiedHead(LinearModule module) {
        return module.kind() == Kind.HEAD && tree.tiedHead();
    }

    private void requireOwnTensor(LinearModule module) {
        if (isTiedHead(module)) {
            throw UserException.badInput(
                    SETTING + " names rows of " + module.name() + ", which is tied to the embedding in this model",
                    "name the embedding's rows, {embed_tokens: [N]}: the head follows");
        }
    }
}
