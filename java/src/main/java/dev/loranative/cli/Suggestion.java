package dev.loranative.cli;

import dev.loranative.config.ConfigParser;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.config.OptimizerOptions;
import dev.loranative.lora.TargetMatcher;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * A ready-made answer to "what do I write into target_modules?".
 *
 * @param name one or two words
 * @param targets groups or names as they go into a list; {@code all-linear} alone is a text
 * @param meaning the names that the groups stand for
 * @param r the rank with which {@code trainable} is counted
 * @param optimizer that would train
 */
record Suggestion(
        String name,
        List<String> targets,
        List<String> meaning,
        int r,
        Trainable trainable,
        OptimizerOptions optimizer) {

    private static final String ALL_LINEAR = "all-linear";

    /** Ranks that the costs are shown for, and the numbers of parameters up to which the rule of thumb takes them. */
    private static final Map<Integer, Long> RANKS = ranks();

    private static Map<Integer, Long> ranks() {
        Map<Integer, Long> ranks = new LinkedHashMap<>();
        ranks.put(8, 10_000_000_000L);
        ranks.put(16, 40_000_000_000L);
        ranks.put(64, Long.MAX_VALUE);
        return ranks;
    }

    /** 8 for models of 7, 16 for 13, 64 for 70 billion parameters: what users pass on to each other, no law. */
    static int rank(long parameters) {
        return RANKS.entrySet().stream()
                .filter(entry -> parameters < entry.getValue())
                .findFirst()
                .orElseThrow()
                .getKey();
    }

    static List<Integer> usualRanks() {
        return List.copyOf(RANKS.keySet());
    }

    /** Twice the rank, as most recipes have it. */
    int alpha() {
        return 2 * r;
    }

    String flags() {
        return "--target-modules " + String.join(",", targets) + " --r " + r + " --lora-alpha " + alpha();
    }

    /** The line of the YAML file without rank and alpha. */
    String yaml() {
        return "target_modules: " + (targets.equals(List.of(ALL_LINEAR)) ? ALL_LINEAR : targets.toString());
    }

    /** The same targets with another rank. */
    Suggestion withRank(int rank, ModuleTree tree) {
        return of(name, targets, rank, tree, optimizer);
    }

    /** For every kind of module that the model has, and for all of them. */
    static List<Suggestion> of(ModuleTree tree, int r, OptimizerOptions optimizer) {
        Set<Kind> kinds = tree.modules().stream()
                .map(module -> module.kind())
                .collect(Collectors.toCollection(() -> EnumSet.noneOf(Kind.class)));
        boolean mixture = kinds.contains(Kind.ROUTER);
        Map<String, List<String>> wanted = new LinkedHashMap<>();
        if (!mixture) {
            wanted.put("q and v", List.of("q_proj", "v_proj"));
        }
        wanted.put("attention", List.of("attention"));
        if (kinds.contains(Kind.MLP)) {
            wanted.put("mlp", List.of("mlp"));
        }
        if (mixture) {
            wanted.put("router", List.of("router"));
            wanted.put("experts", List.of("experts"));
        }
        wanted.put(ALL_LINEAR, List.of(ALL_LINEAR));
        if (mixture) {
            List<String> everything = new ArrayList<>(List.of("attention", "experts", "router"));
            if (kinds.contains(Kind.MLP)) {
                everything.add(1, "mlp");
            }
            wanted.put("everything", everything);
        }
        return wanted.entrySet().stream()
                .map(entry -> of(entry.getKey(), entry.getValue(), r, tree, optimizer))
                .toList();
    }

    private static Suggestion of(
            String name, List<String> targets, int r, ModuleTree tree, OptimizerOptions optimizer) {
        Object value = targets.equals(List.of(ALL_LINEAR)) ? ALL_LINEAR : targets;
        LoraConfig config = LoraConfig.from(new ConfigParser(LoraKeys.ALL)
                .parse(Map.of(LoraKeys.TARGET_MODULES.name(), value, LoraKeys.R.name(), r), "suggestion"));
        Trainable trainable = Trainable.of(TargetMatcher.match(config, tree), false, optimizer);
        List<String> meaning = trainable.modules().stream()
                .map(module -> module.name().substring(module.name().lastIndexOf('.') + 1))
                .distinct()
                .toList();
        return new Suggestion(name, targets, meaning, r, trainable, optimizer);
    }
}
