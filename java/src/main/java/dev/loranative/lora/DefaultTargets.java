package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
import java.util.Optional;
import java.util.Set;

/** What is trained when {@code target_modules} is not given: PEFT's table, as far as PEFT can reach it. */
final class DefaultTargets {

    /** Families for which PEFT 0.21 trains q_proj and v_proj; for mixtures of experts it has no working default. */
    private static final Set<String> QUERY_AND_VALUE = Set.of("llama", "mistral", "qwen2", "qwen3");

    private DefaultTargets() {}

    /** The given targets, or the family's; empty only if {@code target_parameters} alone is given. */
    static Optional<ModuleNames> of(LoraConfig config, String modelType) {
        if (config.targetModules().isPresent()) {
            return config.targetModules();
        }
        if (QUERY_AND_VALUE.contains(modelType)) {
            return Optional.of(ModuleNames.of("q_proj", "v_proj"));
        }
        if (config.targetParameters().isEmpty()) {
            throw UserException.badInput(
                    "target_modules is missing, and models of type " + modelType + " have no default",
                    "set target_modules, for example [q_proj, v_proj], router, experts or all-linear");
        }
        return Optional.empty();
    }
}
