package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
import java.util.Optional;
import java.util.Set;

/** What is trained when {@code target_modules} is not given: the table of PEFT 0.21. */
final class DefaultTargets {

    /**
     * Families for which the table says q_proj and v_proj; it has no entry for the other mixtures of experts. That of mixtral
     * cannot be reached in PEFT 0.21, whose conversion for transformers 5 makes an empty set of no targets; here it holds if
     * nothing else is to be trained either.
     */
    private static final Set<String> QUERY_AND_VALUE = Set.of("llama", "mistral", "mixtral", "qwen2", "qwen3");

    private DefaultTargets() {}

    /** The given targets, or the family's; empty only if something else is to be trained. */
    static Optional<ModuleNames> of(LoraConfig config, String modelType) {
        if (config.targetModules().isPresent()) {
            return config.targetModules();
        }
        boolean other = !config.targetParameters().isEmpty()
                || !config.modulesToSave().isEmpty()
                || !config.trainableTokens().isEmpty();
        boolean mixture = modelType.equals("mixtral");
        if (QUERY_AND_VALUE.contains(modelType) && !(mixture && other)) {
            return Optional.of(ModuleNames.of("q_proj", "v_proj"));
        }
        if (!other) {
            throw UserException.badInput(
                    "target_modules is missing, and models of type " + modelType + " have no default",
                    "set target_modules, for example [q_proj, v_proj], router, experts or all-linear");
        }
        return Optional.empty();
    }
}
