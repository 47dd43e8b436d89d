package dev.loranative.model;

import dev.loranative.errors.UserException;
import dev.loranative.model.Family.Biases;
import dev.loranative.model.Family.Defaults;
import dev.loranative.model.Family.Moe;
import dev.loranative.model.Family.MoeNames;
import dev.loranative.model.Family.WindowRule;
import dev.loranative.model.ModelConfig.QkNorm;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** The model families that can be trained, as data. */
public final class Families {

    private static final MoeNames MIXTRAL_NAMES = new MoeNames("block_sparse_moe", "w1", "w3", "w2");

    private static final List<Family> ALL = List.of(
            new Family(
                    "llama",
                    new Defaults(32000, 4096, 11008, 32, 32, 0, 0, 2048, 1e-6, 10_000, 0),
                    QkNorm.NONE,
                    Biases.ATTENTION_AND_MLP_KEYS,
                    false,
                    WindowRule.NEVER,
                    Optional.empty()),
            new Family(
                    "mistral",
                    new Defaults(32000, 4096, 14336, 32, 32, 8, 0, 131072, 1e-6, 10_000, 4096),
                    QkNorm.NONE,
                    Biases.NONE,
                    false,
                    WindowRule.ALL,
                    Optional.empty()),
            new Family(
                    "qwen2",
                    new Defaults(151936, 4096, 22016, 32, 32, 32, 0, 32768, 1e-6, 10_000, 4096),
                    QkNorm.NONE,
                    Biases.QKV,
                    false,
                    WindowRule.UPPER_LAYERS,
                    Optional.empty()),
            new Family(
                    "qwen3",
                    new Defaults(151936, 4096, 22016, 32, 32, 32, 128, 32768, 1e-6, 10_000, 4096),
                    QkNorm.PER_HEAD,
                    Biases.ATTENTION_KEY,
                    false,
                    WindowRule.UPPER_LAYERS,
                    Optional.empty()),
            new Family(
                    "qwen3_moe",
                    new Defaults(151936, 2048, 6144, 24, 32, 4, 0, 32768, 1e-6, 10_000, 4096),
                    QkNorm.PER_HEAD,
                    Biases.ATTENTION_KEY,
                    false,
                    WindowRule.ALL_IF_USED,
                    Optional.of(new Moe(128, 8, "moe_intermediate_size", 768, 0, false, 0.001, true, MoeNames.USUAL))),
            new Family(
                    "qwen2_moe",
                    new Defaults(151936, 2048, 5632, 24, 16, 16, 0, 32768, 1e-6, 10_000, 4096),
                    QkNorm.NONE,
                    Biases.QKV_KEY,
                    false,
                    WindowRule.ALTERNATING_LAYERS,
                    Optional.of(
                            new Moe(60, 4, "moe_intermediate_size", 1408, 5632, false, 0.001, true, MoeNames.USUAL))),
            new Family(
                    "mixtral",
                    new Defaults(32000, 4096, 14336, 32, 32, 8, 0, 131072, 1e-5, 1_000_000, 0),
                    QkNorm.NONE,
                    Biases.NONE,
                    false,
                    WindowRule.ALL,
                    Optional.of(new Moe(8, 2, "intermediate_size", 0, 0, true, 0.001, false, MIXTRAL_NAMES))),
            new Family(
                    "olmoe",
                    new Defaults(50304, 2048, 2048, 16, 16, 0, 0, 4096, 1e-5, 10_000, 0),
                    QkNorm.FULL,
                    Biases.ATTENTION_KEY,
                    true,
                    WindowRule.NEVER,
                    Optional.of(new Moe(64, 8, "intermediate_size", 0, 0, false, 0.01, false, MoeNames.USUAL))));

    private Families() {}

    /** All families. */
    public static List<Family> all() {
        return ALL;
    }

    /**
     * The family of a {@code model_type}.
     *
     * @throws UserException if there is none, listing those supported
     */
    public static Family named(String modelType) {
        return ALL.stream()
                .filter(family -> family.modelType().equals(modelType))
                .findFirst()
                .orElseThrow(() -> UserException.badInput(
                        "model_type '" + modelType + "' is not supported",
                        "supported are " + ALL.stream().map(Family::modelType).collect(Collectors.joining(", "))));
    }
}
