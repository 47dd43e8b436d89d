package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.lora.ExpertGroup.Fused;
import dev.loranative.lora.ExpertGroup.Role;
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
        List<String> names = NameRule.names(module).stream()
                .map(name -> ExpertGroup.container(name).replace(".block_sparse_moe.", ".mlp.") + "."
                        + (Role.of(module) == Role.DOWN ? Fused.DOWN : Fused.GATE_UP).leaf())
                .toList();
        Optional<Integer> r = ranks.find(names);
        Optional<Double> alpha = alphas.find(names);
        if (Role.of(module) == Role.DOWN || r.isEmpty()) {
            return new Expected(r.orElse(config.r()), alpha.orElse(config.loraAlpha()));
        }
        // The fused scaling must come out of half the rank: alpha/r, or alpha/sqrt(r).
        return new Expected(r.get() / 2, alpha.orElse(config.loraAlpha()) / alphaOfTwice());
    }

    /** What a weight of all experts must have. */
    Expected of(ExpertGroup group, Fused weight) {
        List<String> names = List.of(group.parameter(weight), group.name() + "." + weight.leaf());
        return new Expected(
                ranks.find(names).orElse(config.r()), alphas.find(names).orElse(config.loraAlpha()));
    }

    /** The factor that keeps the scaling when the rank doubles. */
    double alphaOfTwice() {
        return config.useRslora() ? Math.sqrt(2) : 2;
    }
}
