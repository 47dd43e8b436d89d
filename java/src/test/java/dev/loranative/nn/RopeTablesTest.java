package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.errors.UserException;
import dev.loranative.nn.RopeParameters.Type;
import dev.loranative.nn.RopeParameters.Yarn;
import java.io.InputStream;
import java.util.Arrays;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Against rope.json: LlamaRotaryEmbedding of transformers 5.18, one case or more for every type. */
class RopeTablesTest {

    @TestFactory
    Stream<DynamicTest> equalsTransformers() throws Exception {
        JsonNode cases;
        try (InputStream json = RopeTablesTest.class.getResourceAsStream("/nn/rope.json")) {
            cases = new JsonMapper().readTree(json);
        }
        assertThat(StreamSupport.stream(cases.spliterator(), false)
                        .map(node -> parameters(node.get("rope_parameters")).type())
                        .distinct())
                .as("types in the file")
                .containsExactlyInAnyOrder(Type.values());
        return StreamSupport.stream(cases.spliterator(), false)
                .map(node -> DynamicTest.dynamicTest(node.get("name").stringValue(), () -> compare(node)));
    }

    private static void compare(JsonNode node) {
        RopeParameters parameters = parameters(node.get("rope_parameters"));
        int headDim = node.get("head_dim").intValue();
        int context = node.get("max_position_embeddings").intValue();
        int positions = node.get("positions").intValue();
        assertThat(RopeTables.attentionScaling(parameters))
                .isCloseTo(node.get("attention_scaling").doubleValue(), within(1e-14));

        float[] frequencies = RopeTables.inverseFrequencies(parameters, headDim, context, positions);
        JsonNode expected = node.get("inverse_frequencies");
        assertThat(frequencies).hasSize(expected.size());
        for (int pair = 0; pair < frequencies.length; pair++) {
            float value = expected.get(pair).floatValue();
            // Two units in the last place: torch's power function is not always rounded to nearest.
            assertThat(frequencies[pair]).as("pair %d", pair).isCloseTo(value, within(2 * Math.ulp(value)));
        }

        RopeTables tables = RopeTables.compute(parameters, headDim, context, positions);
        int pairs = tables.rotaryDim() / 2;
        assertThat(tables.cosine()).hasSize(positions * pairs);
        assertThat(tables.sine()).hasSize(positions * pairs);
        for (int row = 0; row < node.get("checked").size(); row++) {
            int position = node.get("checked").get(row).intValue();
            for (int pair = 0; pair < pairs; pair++) {
                // An angle of some hundred radians carries the frequency's last bit into the fifth digit.
                float tolerance = 2e-7f * (1 + position);
                assertThat(tables.cosine()[position * pairs + pair])
                        .as("cosine at %d, %d", position, pair)
                        .isCloseTo(node.get("cos").get(row).get(pair).floatValue(), within(tolerance));
                assertThat(tables.sine()[position * pairs + pair])
                        .as("sine at %d, %d", position, pair)
                        .isCloseTo(node.get("sin").get(row).get(pair).floatValue(), within(tolerance));
            }
        }
    }

    private static RopeParameters parameters(JsonNode node) {
        return new RopeParameters(
                Type.named(node.get("rope_type").stringValue()),
                node.get("rope_theta").doubleValue(),
                1,
                node.path("factor").doubleValue(1),
                node.path("original_max_position_embeddings").intValue(0),
                node.path("low_freq_factor").doubleValue(0),
                node.path("high_freq_factor").doubleValue(0),
                new Yarn(
                        node.path("beta_fast").doubleValue(32),
                        node.path("beta_slow").doubleValue(1),
                        optional(node, "attention_factor"),
                        optional(node, "mscale"),
                        optional(node, "mscale_all_dim"),
                        node.path("truncate").booleanValue(true)));
    }

    private static OptionalDouble optional(JsonNode node, String key) {
        return node.has(key) ? OptionalDouble.of(node.get(key).doubleValue()) : OptionalDouble.empty();
    }

    @Test
    void dynamicIsUnscaledWithinTheContext() {
        RopeParameters dynamic = new RopeParameters(Type.DYNAMIC, 10_000, 1, 4, 0, 0, 0, Yarn.DEFAULTS);
        float[] unscaled = RopeTables.inverseFrequencies(RopeParameters.unscaled(10_000), 16, 64, 64);
        assertThat(RopeTables.inverseFrequencies(dynamic, 16, 64, 64)).isEqualTo(unscaled);
        assertThat(RopeTables.inverseFrequencies(dynamic, 16, 64, 65)).isNotEqualTo(unscaled);
    }

    @Test
    void aPartOfTheHeadHasFewerPairs() {
        RopeParameters half = new RopeParameters(Type.DEFAULT, 10_000, 0.5, 1, 0, 0, 0, Yarn.DEFAULTS);
        RopeTables tables = RopeTables.compute(half, 32, 64, 3);
        RopeTables small = RopeTables.compute(RopeParameters.unscaled(10_000), 16, 64, 3);
        assertThat(tables.rotaryDim()).isEqualTo(16);
        assertThat(tables.cosine()).isEqualTo(small.cosine());
    }

    @Test
    void refusesAnOddNumberOfDimensions() {
        assertThatThrownBy(() -> RopeTables.compute(RopeParameters.unscaled(10_000), 15, 64, 3))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("head_dim 15")
                .hasMessageContaining("gives 15");
    }

    @Test
    void refusesAnotherTypeAndListsThoseKnown() {
        assertThatThrownBy(() -> Type.named("longrope"))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("'longrope'")
                .satisfies(e -> assertThat(((UserException) e).hint())
                        .contains(Arrays.stream(Type.values()).map(Type::label).toList()));
    }

    @Test
    void refusesValuesThatGiveNoAngles() {
        refused("rope_theta is 0.0", Type.DEFAULT, 0, 1, 0, 0, 0, Yarn.DEFAULTS);
        refused("rope_theta is NaN", Type.DEFAULT, Double.NaN, 1, 0, 0, 0, Yarn.DEFAULTS);
        refused("rope factor is 0.5", Type.LINEAR, 1e4, 0.5, 0, 0, 0, Yarn.DEFAULTS);
        refused("original_max_position_embeddings is 0", Type.YARN, 1e4, 2, 0, 0, 0, Yarn.DEFAULTS);
        refused("low_freq_factor is 0.0", Type.LLAMA3, 1e4, 2, 64, 0, 4, Yarn.DEFAULTS);
        refused("high_freq_factor is 1.0", Type.LLAMA3, 1e4, 2, 64, 1, 1, Yarn.DEFAULTS);
        OptionalDouble none = OptionalDouble.empty();
        refused("beta_fast is 0.5", Type.YARN, 1e4, 2, 64, 0, 0, new Yarn(0.5, 1, none, none, none, true));
        OptionalDouble negative = OptionalDouble.of(-1);
        refused("attention_factor is -1.0", Type.YARN, 1e4, 2, 64, 0, 0, new Yarn(32, 1, negative, none, none, true));
    }

    private static void refused(
            String message, Type type, double theta, double factor, int original, double low, double high, Yarn yarn) {
        assertThatThrownBy(() -> new RopeParameters(type, theta, 1, factor, original, low, high, yarn))
                .isInstanceOf(UserException.class)
                .hasMessageContaining(message);
    }
}
