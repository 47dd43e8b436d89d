package dev.loranative.model;

import dev.loranative.errors.UserException;
import dev.loranative.nn.RopeParameters;
import dev.loranative.nn.RopeParameters.Type;
import dev.loranative.nn.RopeParameters.Yarn;
import java.util.Optional;
import tools.jackson.databind.node.JsonNodeFactory;

/**
 * Reads rotary position embedding from config.json in both spellings: {@code rope_theta} with {@code rope_scaling}
 * (transformers 4), and {@code rope_parameters} (transformers 5). Where they meet, the order of transformers holds.
 */
final class RopeReader {

    private final JsonFields config;
    private final JsonFields rope;
    private final int maxPositionEmbeddings;

    private RopeReader(JsonFields config, JsonFields rope, int maxPositionEmbeddings) {
        this.config = config;
        this.rope = rope;
        this.maxPositionEmbeddings = maxPositionEmbeddings;
    }

    /** @param defaultTheta base if config.json has none */
    static RopeParameters read(JsonFields config, double defaultTheta, int maxPositionEmbeddings) {
        Optional<JsonFields> scaling =
                config.object("rope_scaling").filter(fields -> !fields.object().isEmpty());
        JsonFields rope = scaling.or(() -> config.object("rope_parameters"))
                .orElse(new JsonFields(JsonNodeFactory.instance.objectNode(), "rope_parameters."));
        return new RopeReader(config, rope, maxPositionEmbeddings).read(defaultTheta);
    }

    private RopeParameters read(double defaultTheta) {
        for (var entry : rope.object().properties()) {
            if (entry.getValue().isObject()) {
                throw UserException.badInput(
                        rope.place() + entry.getKey() + " is an object: other angles for some layers are not supported",
                        "use a model with one set of rope_parameters");
            }
        }
        Type type =
                Type.named(rope.text("rope_type").or(() -> rope.text("type")).orElse(Type.DEFAULT.label()));
        double theta = rope.number("rope_theta").orElseGet(() -> config.number("rope_theta", defaultTheta));
        double partial =
                rope.number("partial_rotary_factor").orElseGet(() -> config.number("partial_rotary_factor", 1));
        if (partial != 1) {
            throw UserException.badInput(
                    "partial_rotary_factor is " + partial + ", but these model types rotate whole heads",
                    "remove the key from config.json if the model was trained without it");
        }
        return switch (type) {
            case DEFAULT -> RopeParameters.unscaled(theta);
            case LINEAR, DYNAMIC -> parameters(type, theta, factor(), 0, 0, 0);
            case LLAMA3 ->
                parameters(
                        type,
                        theta,
                        factor(),
                        originalContext(),
                        required("low_freq_factor"),
                        required("high_freq_factor"));
            case YARN -> {
                int original = originalContext();
                double implied = (double) maxPositionEmbeddings / original;
                yield new RopeParameters(type, theta, 1, rope.number("factor", implied), original, 0, 0, yarn());
            }
        };
    }

    private static RopeParameters parameters(
            Type type, double theta, double factor, int originalContext, double lowFreqFactor, double highFreqFactor) {
        return new RopeParameters(
                type, theta, 1, factor, originalContext, lowFreqFactor, highFreqFactor, Yarn.DEFAULTS);
    }

    private double factor() {
        return required("factor");
    }

    private double required(String key) {
        return rope.number(key).orElseThrow(() -> ModelConfig.wrong(rope.place() + key + " is missing"));
    }

    private int originalContext() {
        String key = "original_max_position_embeddings";
        return config.integer(key).orElseGet(() -> rope.integer(key, maxPositionEmbeddings));
    }

    private Yarn yarn() {
        return new Yarn(
                orDefault("beta_fast", Yarn.DEFAULTS.betaFast()),
                orDefault("beta_slow", Yarn.DEFAULTS.betaSlow()),
                rope.number("attention_factor"),
                rope.number("mscale"),
                rope.number("mscale_all_dim"),
                rope.flag("truncate", Yarn.DEFAULTS.truncate()));
    }

    /** For YaRN's betas transformers takes 0 as absent. */
    private double orDefault(String key, double absent) {
        double value = rope.number(key, absent);
        return value == 0 ? absent : value;
    }
}
