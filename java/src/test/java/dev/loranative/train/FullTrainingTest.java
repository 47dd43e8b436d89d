package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.config.TrainConfig;
import dev.loranative.errors.UserException;
import dev.loranative.lora.AdapterFiles;
import dev.loranative.lora.AdapterModule;
import dev.loranative.lora.Adapters;
import dev.loranative.model.LinearModule.Kind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Runs that train more than low-rank updates of single modules: what they train, save, load again and go on with. */
class FullTrainingTest {

    private static final int STEPS = 4;

    @TempDir
    Path temporary;

    /** The run's own loss on the data after its last step is that of its files, loaded into a fresh model. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "qwen3moe-router|--target-modules q_proj --modules-to-save gate --router-aux-loss-coef 0.01",
                "qwen3moe-router|--target-modules q_proj --modules-to-save norm",
                "qwen3moe-router|--target-modules experts --share-expert-adapters true --lora-dropout 0.1",
                "llama-qv|--target-modules v_proj --modules-to-save lm_head,embed_tokens",
                "llama-qv|--target-modules v_proj,embed_tokens",
                "llama-qv|--target-modules v_proj --trainable-token-indices 5,7",
                "qwen3-tied-regex|--target-modules v_proj --modules-to-save embed_tokens",
                "qwen3-tied-regex|--target-modules v_proj --modules-to-save lm_head",
                "qwen3-tied-regex|--target-modules v_proj --trainable-token-indices 5,7",
                "bias-all|--target-modules q_proj,o_proj --bias all",
                "bias-all|--target-modules q_proj,o_proj --bias lora_only --use-dora true",
            })
    void what_is_saved_is_what_was_trained_and_a_resumed_run_ends_with_the_same_bytes(String model, String flags)
            throws IOException {
        QuietListener whole = new QuietListener();
        Training.run(config(model, flags, "whole"), whole, () -> false);
        QuietListener first = new QuietListener();
        Training.run(config(model, flags, "parts"), first, () -> first.steps.size() == 2);
        Training.run(
                config(model, flags, "parts", "--resume-from-checkpoint", "true"), new QuietListener(), () -> false);

        assertThat(Files.readAllBytes(temporary.resolve("parts").resolve(AdapterFiles.TENSORS)))
                .isEqualTo(Files.readAllBytes(temporary.resolve("whole").resolve(AdapterFiles.TENSORS)));
        double before = loss(config(model, flags, "fresh"));
        double loaded = loss(config(
                model,
                "",
                "loaded",
                "--init-adapter",
                temporary.resolve("whole").toString()));
        assertThat(loaded).isEqualTo(whole.evaluations.getLast());
        assertThat(loaded).isLessThan(before - 0.01);
    }

    private static double loss(TrainConfig config) {
        try (TrainSetup setup = new TrainPreparation(config, new QuietListener()).prepare()) {
            return setup.evaluator().orElseThrow().run(setup.slab()).loss();
        }
    }

    /** The head of a model that ties it to the embedding goes with it: one tensor, one gradient. */
    @Test
    void a_tied_embedding_is_trained_once_and_written_twice() throws IOException {
        TrainConfig config = config("qwen3-tied-regex", "--target-modules v_proj --modules-to-save lm_head", "tied");
        try (TrainSetup setup = new TrainPreparation(config, new QuietListener()).prepare()) {
            assertThat(setup.adapters().fullCount()).isEqualTo(1);
            assertThat(setup.model().lm().layersOfBackwardPass())
                    .isEqualTo(setup.model().lm().layers());
        }
        Training.run(config, new QuietListener(), () -> false);
        Map<String, float[]> tensors =
                ReferenceCase.tensors(temporary.resolve("tied").resolve(AdapterFiles.TENSORS));
        assertThat(tensors.get("base_model.model.lm_head.weight"))
                .isNotNull()
                .isEqualTo(tensors.get("base_model.model.model.embed_tokens.weight"));
        assertThat(temporary.resolve("tied").resolve("adapter_config.json"))
                .content()
                .contains("\"ensure_weight_tying\": true");
    }

    /** The copy of a weight in 4 bits is what those stand for. */
    @Test
    void a_weight_in_4_bits_is_trained_from_its_values() {
        String frozen = "--target-modules v_proj --load-in-4bit true";
        String trained = frozen + " --modules-to-save o_proj";
        assertThat(loss(config("llama-qv", trained, "trained")))
                .isCloseTo(loss(config("llama-qv", frozen, "frozen")), within(1e-6));
        QuietListener listener = new QuietListener();
        Training.run(config("llama-qv", trained, "trained"), listener, () -> false);
        assertThat(listener.steps.getLast().loss())
                .isLessThan(listener.steps.getFirst().loss());
    }

    @Test
    void experts_that_share_an_adapter_hold_one() {
        TrainConfig alone = config("qwen3moe-router", "--target-modules experts", "alone");
        TrainConfig together =
                config("qwen3moe-router", "--target-modules experts --share-expert-adapters true", "together");
        try (TrainSetup own = new TrainPreparation(alone, new QuietListener()).prepare();
                TrainSetup shared = new TrainPreparation(together, new QuietListener()).prepare()) {
            int experts =
                    Math.toIntExact(own.model().config().moe().orElseThrow().experts());
            assertThat(shared.adapters().arena().size() * experts)
                    .isEqualTo(own.adapters().arena().size());
            assertThat(shared.memory().parts().get("optimizer") * experts)
                    .isEqualTo(own.memory().parts().get("optimizer"));
            List<AdapterModule> values = shared.adapters().values().modules();
            assertThat(values).hasSameSizeAs(own.adapters().values().modules());
            assertThat(values.getFirst().a()).isEqualTo(values.get(3).a());
        }
        assertThatThrownBy(() -> new TrainPreparation(
                                config(
                                        "qwen3moe-router",
                                        "--target-modules experts.0.up_proj --share-expert-adapters true",
                                        "some"),
                                new QuietListener())
                        .prepare())
                .isInstanceOf(UserException.class)
                .hasMessageContaining("share_expert_adapters");
    }

    /** A new update of the embedding changes nothing yet, and every column of A gets its gradient through B. */
    @Test
    void an_update_of_the_embedding_begins_with_zeros() {
        TrainConfig config = config("llama-qv", "--target-modules embed_tokens", "embedding");
        try (TrainSetup setup = new TrainPreparation(config, new QuietListener()).prepare()) {
            AdapterModule module = setup.adapters().values().modules().getFirst();
            assertThat(module.module().kind()).isEqualTo(Kind.EMBEDDING);
            assertThat(module.a()).containsOnly(0);
            double variance = 0;
            for (float value : module.b()) {
                variance += value * value / module.b().length;
            }
            assertThat(variance).isCloseTo(1, within(0.3));
            assertThat(module.a().length + module.b().length)
                    .isEqualTo((int) setup.adapters().arena().size());
        }
    }

    @Test
    void tokens_beyond_the_vocabulary_are_refused() {
        assertThatThrownBy(() -> new TrainPreparation(
                                config("llama-qv", "--target-modules v_proj --trainable-token-indices 5,99999", "out"),
                                new QuietListener())
                        .prepare())
                .isInstanceOf(UserException.class)
                .hasMessageContaining("99999");
    }

    /** Routers of the last layer alone: nothing below it is kept for the backward pass. */
    @Test
    void the_backward_pass_ends_at_the_last_trained_router() {
        Map<String, Long> activations = new LinkedHashMap<>();
        for (String targets : List.of("layers.1.mlp.gate", "layers.0.mlp.gate", "gate")) {
            TrainConfig config = config("qwen3moe-router", "--target-modules " + targets, targets);
            try (TrainSetup setup = new TrainPreparation(config, new QuietListener()).prepare()) {
                activations.put(targets, setup.memory().parts().get("activations"));
                assertThat(setup.model().lm().layersOfBackwardPass()).isEqualTo(targets.startsWith("layers.1") ? 1 : 2);
            }
        }
        assertThat(activations.get("layers.1.mlp.gate")).isLessThan(activations.get("layers.0.mlp.gate"));
        assertThat(activations.get("layers.0.mlp.gate")).isLessThanOrEqualTo(activations.get("gate"));
    }

    /** The routers' losses are means over micro-batches: equal ones give the same step however they are cut. */
    @ParameterizedTest
    @CsvSource({"0.5,0", "0,0.5", "0.3,0.2"})
    void the_routers_losses_do_not_depend_on_accumulation(double auxiliary, double z) throws IOException {
        Path data = temporary.resolve("same.jsonl");
        String sample = Files.readAllLines(
                        ReferenceCase.of("qwen3moe-router").folder().resolve("data.jsonl"))
                .getFirst();
        Files.writeString(data, (sample + "\n").repeat(4));
        List<Map<String, float[]>> gradients = new ArrayList<>();
        List<StepMetrics> steps = new ArrayList<>();
        for (int accumulation : new int[] {1, 2, 4}) {
            TrainConfig config = config(
                    data,
                    "qwen3moe-router",
                    "--target-modules q_proj --modules-to-save gate --router-aux-loss-coef " + auxiliary
                            + " --router-z-loss-coef " + z,
                    "accumulation-" + accumulation,
                    "--per-device-train-batch-size",
                    String.valueOf(4 / accumulation),
                    "--gradient-accumulation-steps",
                    String.valueOf(accumulation),
                    "--max-steps",
                    "1");
            try (TrainSetup setup = new TrainPreparation(config, new QuietListener()).prepare()) {
                gradients.add(gradients(setup));
            }
            QuietListener listener = new QuietListener();
            Training.run(config, listener, () -> false);
            steps.add(listener.steps.getFirst());
        }
        for (int i = 1; i < gradients.size(); i++) {
            Map<String, float[]> cut = gradients.get(i);
            gradients
                    .getFirst()
                    .forEach((name, whole) -> assertThat(distance(cut.get(name), whole))
                            .as(name)
                            .isLessThanOrEqualTo(1e-5 * Math.max(1e-3, norm(whole))));
            assertThat(steps.get(i).loss()).isCloseTo(steps.getFirst().loss(), within(1e-6));
            assertThat(steps.get(i).hasAuxLoss()).isEqualTo(auxiliary > 0);
            assertThat(steps.get(i).hasZLoss()).isEqualTo(z > 0);
        }
        if (z > 0) {
            assertThat(steps.getLast().zLoss())
                    .isPositive()
                    .isCloseTo(steps.getFirst().zLoss(), within(1e-6));
            assertThat(temporary.resolve("accumulation-4").resolve("metrics.jsonl"))
                    .content()
                    .contains("\"z_loss\":");
        }
    }

    private static Map<String, float[]> gradients(TrainSetup setup) {
        MicroBatches microBatches = new MicroBatches(setup.ops(), setup.model(), setup.config(), setup.recompute(), 0);
        microBatches.run(setup.slab(), setup.batcher().window(0));
        Adapters adapters = setup.adapters();
        return adapters.gradients();
    }

    private TrainConfig config(String model, String flags, String name, String... more) {
        return config(ReferenceCase.of(model).folder().resolve("data.jsonl"), model, flags, name, more);
    }

    private TrainConfig config(Path data, String model, String flags, String name, String... more) {
        ReferenceCase reference = ReferenceCase.of(model);
        List<String> all = new ArrayList<>(List.of(
                "--model",
                reference.folder().resolve("model").toString(),
                "--data",
                data.toString(),
                "--eval-dataset",
                data.toString(),
                "--output",
                temporary.resolve(name).toString(),
                "--learning-rate",
                "0.05",
                "--lr-scheduler-type",
                "constant",
                "--per-device-train-batch-size",
                "4",
                "--max-steps",
                String.valueOf(STEPS)));
        if (!flags.isEmpty()) {
            all.addAll(Arrays.asList(flags.split(" ")));
        }
        all.addAll(List.of(more));
        return TrainConfig.parse(Optional.empty(), all);
    }

    private static double norm(float[] values) {
        return distance(values, new float[values.length]);
    }

    private static double distance(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += Math.pow((double) a[i] - b[i], 2);
        }
        return Math.sqrt(sum);
    }
}
