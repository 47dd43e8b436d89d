package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.config.TrainConfig;
import dev.loranative.lora.AdapterFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Exact resumption, whatever is trained and however the adapter's file is laid out. */
class ResumeTest {

    @TempDir
    private Path temporary;

    @ParameterizedTest
    @ValueSource(
            strings = {
                "--target-modules=experts,router --adapter-dialect=v5",
                "--target-modules=experts.1.gate_proj,q_proj",
                "--target-modules=experts --rank-pattern={'up_proj':3} --use-rslora",
                "--target-modules=experts --alpha-pattern={'experts.0.up_proj':5}",
                "--target-modules=gate_proj --share-expert-adapters",
                "--target-modules=q_proj --use-dora",
                "--target-modules=q_proj --modules-to-save=gate,model.norm,lm_head",
                "--target-modules=v_proj --trainable-token-indices=7,5",
                "--target-modules=embed_tokens,router",
            })
    void aMixtureOfExperts(String flags) throws IOException {
        assertResumes("qwen3moe-router", flags);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "--target-modules=q_proj --bias=all",
                "--target-modules=q_proj,down_proj --lora-bias --bias=lora_only",
                "--target-modules=q_proj --modules-to-save=k_proj --bias=all",
            })
    void aModelWithBiases(String flags) throws IOException {
        assertResumes("llama-biases", flags);
    }

    private void assertResumes(String reference, String flags) throws IOException {
        Training.run(config(reference, "whole", flags), new QuietListener(), () -> false);
        QuietListener first = new QuietListener();
        Training.run(config(reference, "parts", flags), first, () -> first.steps.size() == 2);
        assertThat(first.saved).hasSize(1);
        QuietListener second = new QuietListener();
        Training.run(config(reference, "parts", flags + " --resume-from-checkpoint=true"), second, () -> false);
        assertThat(second.steps).extracting(StepMetrics::step).containsExactly(3, 4);
        assertThat(adapter("parts")).isEqualTo(adapter("whole"));
    }

    private byte[] adapter(String output) throws IOException {
        return Files.readAllBytes(temporary.resolve(output).resolve(AdapterFiles.TENSORS));
    }

    private TrainConfig config(String reference, String output, String flags) {
        Path folder = ReferenceCase.of(reference).folder();
        List<String> all = new ArrayList<>(List.of(
                "--model",
                folder.resolve("model").toString(),
                "--data",
                folder.resolve("data.jsonl").toString(),
                "--output",
                temporary.resolve(output).toString(),
                "--r=4",
                "--per-device-train-batch-size=2",
                "--learning-rate=0.01",
                "--max-steps=4"));
        all.addAll(List.of(flags.split(" ")));
        return TrainConfig.parse(Optional.empty(), all);
    }
}
