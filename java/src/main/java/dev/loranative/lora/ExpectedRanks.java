package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.List;
import java.util.Optional;

/**
 * Rank and alpha that {@code adapter_config.json} gives a module. An expert's projection is looked up by its own name, then
 * as the part of a fused weight that it is since transformers 5, where gate and up together have twice the rank.
 */
final class ExpectedRanks {

    /** What one module must have. */
    record Expected(int r, double alpha) {}

    private final LoraConfig config;
    private final PatternLookup<Integer> ranks;
    private final PatternLookup<Double> alphas;

    ExpectedRanks(LoraConfig config) {
        this.config = config;
        this.ranks = new PatternLookup<>(config.rankPattern(), "rank_pattern");
        this.alphas = new PatternLookup<>(config.alphaPattern(), "alpha_pattern");
    }

    Expected of(LinearModule module) {
        Optional<Integer> r = ranks.find(module);
        Optional<Double> alpha = alphas.find(module);
        if (module.kind() == Kind.EXPERT && r.isEmpty() && alpha.isEmpty()) {
            return ofFused(module);
        }
        return new Expected(r.orElse(config.r()), alpha.orElse(config.loraAlpha()));
    }

    private Expected ofFused(LinearModule module) {
        List<String> names =
                NameRule.names(module).stream().map(ExpectedRanks::fused).toList();
        boolean halved = names.getFirst().endsWith(".gate_up_proj");
        Optional<Integer> r = ranks.find(names);
        Optional<Double> alpha = alphas.find(names);
        if (!halved || r.isEmpty()) {
            return new Expected(r.orElse(config.r()), alpha.orElse(config.loraAlpha()));
        }
        // The fused scaling must come out of half the rank: alpha/r, or alpha/sqrt(r).
        double divisor = config.useRslora() ? Math.sqrt(2) : 2;
        return new Expected(r.get() / 2, alpha.orElse(config.loraAlpha()) / divisor);
    }

    /** {@code model.layers.0.mlp.experts.gate_up_proj} for {@code model.layers.0.mlp.experts.3.up_proj}. */
    private static String fused(String expert) {
        int leaf = expert.lastIndexOf('.');
        String container = expert.substring(0, expert.lastIndexOf('.', leaf - 1));
        return switch (expert.substring(leaf + 1)) {
            case "gate_proj", "up_proj", "w1", "w3" ->
                container.replace(".block_sparse_moe.", ".mlp.") + ".gate_up_proj";
            default -> container.replace(".block_sparse_moe.", ".mlp.") + ".down_proj";
        };
    }
}
