package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.config.TrainConfig;
import dev.loranative.errors.UserException;
import dev.loranative.lora.AdapterFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

/** What {@code init_lora_weights} promises, on a mixture of experts: where a run starts, and what its file is worth. */
class InitialisationsTest {

    private static final Path MODEL = ReferenceCase.of("qwen3moe-router").folder();
    private static final String ALL = "attention,router,experts";

    @TempDir
    Path temporary;

    /** Rounding alone: B·A is zero, or what it adds was taken out of the base. */
    @ParameterizedTest
    @CsvSource({
        "gaussian, " + ALL,
        "orthogonal, " + ALL,
        "olora, " + ALL,
        "pissa, " + ALL,
        "pissa_niter_3, " + ALL,
        "eva, attention"
    })
    void a_run_starts_from_the_unchanged_model(String init, String targets) {
        double plain = train("plain", "true", targets).steps.getFirst().loss();

        QuietListener started = train("started", init, targets);

        assertThat(started.steps.getFirst().loss()).isCloseTo(plain, within(2e-6 * plain));
        assertThat(started.steps.getLast().loss()).isNotCloseTo(plain, within(1e-3));
    }

    @Test
    void false_starts_from_a_changed_model() {
        double plain = train("plain", "true", ALL).steps.getFirst().loss();

        assertThat(train("changed", "false", ALL).steps.getFirst().loss()).isNotCloseTo(plain, within(1e-3));
    }

    /** Loaded on the base as everybody has it, the file gives the losses that the run ended with. */
    @ParameterizedTest
    @CsvSource({"olora, false", "pissa, false", "pissa, true", "pissa_niter_3, false"})
    void what_was_taken_out_of_the_base_is_in_the_file(String init, String rslora) {
        String data = MODEL.resolve("data.jsonl").toString();
        QuietListener run = train(
                "run", init, ALL, "--use-rslora", rslora, "--eval-dataset", data, "--rank-pattern", "{q_proj: 2}");
        Path folder = temporary.resolve("run");

        TrainConfig again = TrainConfig.parse(
                Optional.empty(),
                List.of(
                        "--model", MODEL.resolve("model").toString(),
                        "--data", data,
                        "--eval-dataset", data,
                        "--output", temporary.resolve("again").toString(),
                        "--init-adapter", folder.toString()));
        try (TrainSetup setup = new TrainPreparation(again, new QuietListener()).prepare()) {
            assertThat(setup.evaluator().orElseThrow().run(setup.slab()).loss())
                    .isCloseTo(run.evaluations.getLast(), within(1e-6));
        }
        JsonNode config = ReferenceCase.json(folder, AdapterFiles.CONFIG);
        assertThat(config.get("r").asInt()).isEqualTo(8);
        assertThat(config.get("lora_alpha").asDouble())
                .isCloseTo(rslora.equals("true") ? 8 * Math.sqrt(2) : 16, within(1e-12));
        assertThat(config.get("init_lora_weights").asBoolean()).isTrue();
        Map<String, float[]> tensors = ReferenceCase.tensors(folder.resolve(AdapterFiles.TENSORS));
        String query = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
        assertThat(tensors.get(query).length % 4).isZero();
    }

    @ParameterizedTest
    @ValueSource(strings = {"olora", "pissa", "eva"})
    void a_run_that_was_interrupted_ends_with_the_same_bytes(String init) throws IOException {
        String targets = init.equals("eva") ? "attention" : ALL;
        train("whole", init, targets);
        QuietListener first = new QuietListener();
        assertThat(Training.run(config("parts", init, targets), first, () -> first.steps.size() == 3))
                .isFalse();

        train("parts", init, targets, "--resume-from-checkpoint", "true");

        assertThat(bytes("parts")).isEqualTo(bytes("whole"));
    }

    @Test
    void evaSharesTheSameRanksOut() {
        train("eva", "eva", "attention", "--eva-config", "{rho: 2.0}");
        train("level", "eva", "attention", "--eva-config", "{rho: 1}");

        assertThat(ranks("eva")).isEqualTo(ranks("level"));
        assertThat(ReferenceCase.json(temporary.resolve("eva"), AdapterFiles.CONFIG)
                        .get("rank_pattern")
                        .size())
                .isPositive();
        assertThat(ReferenceCase.json(temporary.resolve("level"), AdapterFiles.CONFIG)
                        .get("rank_pattern")
                        .size())
                .isZero();
    }

    /** What 4-bit quantisation loses is partly made good. */
    @Test
    void loftqComesNearerToTheUnquantisedModel() {
        double exact = train("exact", "true", ALL).steps.getFirst().loss();
        double quantised =
                train("nf4", "true", ALL, "--load-in-4bit").steps.getFirst().loss();

        double loftq = train("loftq", "loftq", ALL, "--load-in-4bit", "--r", "8")
                .steps
                .getFirst()
                .loss();

        assertThat(Math.abs(loftq - exact)).isLessThan(0.7 * Math.abs(quantised - exact));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            orthogonal | attention | --r=3                       | even rank
            pissa      | router    | --r=9                       | rank 9
            olora      | attention | --use-dora                  | use_dora
            loftq      | attention | --r=4                       | no target is quantised
            eva        | experts   | --r=4                       | eva cannot be used on
            eva        | attention | --eva-config={rho: 900}     | no batch has as many
            """)
    void whatCannotBeginThisWayIsSaid(String init, String targets, String flag, String message) {
        assertThatThrownBy(() -> train("refused", init, targets, flag))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e.exitCode()).isEqualTo(2);
                    assertThat(e).hasMessageContaining(message);
                });
        assertThat(temporary.resolve("refused").resolve("metrics.jsonl")).doesNotExist();
    }

    private int ranks(String output) {
        return ReferenceCase.tensors(temporary.resolve(output).resolve(AdapterFiles.TENSORS)).entrySet().stream()
                .filter(entry -> entry.getKey().contains(".lora_A."))
                .mapToInt(entry -> entry.getValue().length / in(entry.getKey()))
                .sum();
    }

    private static int in(String tensor) {
        JsonNode config = ReferenceCase.json(MODEL.resolve("model"), "config.json");
        return tensor.contains("o_proj")
                ? config.get("num_attention_heads").asInt()
                        * config.get("head_dim").asInt()
                : config.get("hidden_size").asInt();
    }

    private byte[] bytes(String output) throws IOException {
        return Files.readAllBytes(temporary.resolve(output).resolve(AdapterFiles.TENSORS));
    }

    private QuietListener train(String output, String init, String targets, String... more) {
        QuietListener listener = new QuietListener();
        assertThat(Training.run(config(output, init, targets, more), listener, () -> false))
                .isTrue();
        return listener;
    }

    private TrainConfig config(String output, String init, String targets, String... more) {
        List<String> flags = new ArrayList<>(List.of(
                "--model", MODEL.resolve("model").toString(),
                "--data", MODEL.resolve("data.jsonl").toString(),
                "--output", temporary.resolve(output).toString(),
                "--target-modules", targets,
                "--init-lora-weights", init,
                "--r", "4",
                "--train-sampling-strategy", "sequential",
                "--per-device-train-batch-size", "4",
                "--learning-rate", "0.01",
                "--weight-decay", "0.1",
                "--max-steps", "6"));
        flags.addAll(List.of(more));
        return TrainConfig.parse(Optional.empty(), flags);
    }
}
