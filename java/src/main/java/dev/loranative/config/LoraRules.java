package dev.loranative.config;

import dev.loranative.errors.UserException;

/** Which settings of a {@code LoraConfig} exclude each other: those that PEFT 0.21 refuses when it reads one. */
final class LoraRules {

    private final LoraConfig config;
    private final ConfigValues values;

    private LoraRules(LoraConfig config, ConfigValues values) {
        this.config = config;
        this.values = values;
    }

    /** @throws UserException naming both settings and where they were set */
    static void check(LoraConfig config, ConfigValues values) {
        LoraRules rules = new LoraRules(config, values);
        rules.checkLayers();
        rules.checkDora();
        rules.checkBias();
    }

    private void checkLayers() {
        boolean pattern = config.targetModules().orElse(null) instanceof ModuleNames.Pattern;
        if (pattern && !config.layersToTransform().isEmpty()) {
            throw UserException.badInput(
                    named(LoraKeys.LAYERS_TO_TRANSFORM) + " cannot be used when target_modules is a text ("
                            + config.targetModules().get() + ")",
                    "name the modules in a list, for example [attention, mlp, experts], or the layers in the expression");
        }
        if (!config.layersPattern().isEmpty() && (pattern || values.get(LoraKeys.LAYERS_TO_TRANSFORM) == null)) {
            throw UserException.badInput(
                    named(LoraKeys.LAYERS_PATTERN) + " needs layers_to_transform, and target_modules as a list",
                    "set layers_to_transform, or leave layers_pattern out");
        }
    }

    private void checkDora() {
        if (config.useDora() && !config.targetParameters().isEmpty()) {
            throw UserException.badInput(
                    named(LoraKeys.USE_DORA) + " cannot be used with target_parameters " + config.targetParameters(),
                    "name plain linear layers in target_modules instead, or leave use_dora out");
        }
    }

    private void checkBias() {
        if (!config.loraBias()) {
            return;
        }
        if (config.useDora()) {
            throw UserException.badInput(
                    named(LoraKeys.LORA_BIAS) + " cannot be used with " + named(LoraKeys.USE_DORA),
                    "leave one of the two out");
        }
        // PEFT: other initialisations know nothing of the bias of B.
        if (!(LoraKeys.INIT_LORA_WEIGHTS.write(config.initLoraWeights()) instanceof Boolean)) {
            throw UserException.badInput(
                    named(LoraKeys.LORA_BIAS) + " needs init_lora_weights true or false, not "
                            + LoraKeys.INIT_LORA_WEIGHTS.write(config.initLoraWeights()),
                    "set init_lora_weights: true, or leave lora_bias out");
        }
        if (!config.targetParameters().isEmpty()) {
            throw UserException.badInput(
                    named(LoraKeys.LORA_BIAS) + " cannot be used with target_parameters " + config.targetParameters(),
                    "name plain linear layers in target_modules instead, or leave lora_bias out");
        }
    }

    /** The key with its value and where it was set. */
    private String named(Key<?> key) {
        return key.name() + " " + key.write(values.get(key)) + " (" + values.origin(key) + ")";
    }
}
