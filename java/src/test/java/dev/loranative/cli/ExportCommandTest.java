package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExportCommandTest {

    @TempDir
    Path temporary;

    private CommandRun export(String reference, Object... more) {
        Path folder = CommandRun.reference(reference);
        List<Object> args = new ArrayList<>(List.of("export", "--adapter", folder.resolve("adapter_final")));
        args.addAll(List.of("--format", "gguf", "--output", file()));
        args.addAll(List.of(more));
        return CommandRun.of(args.toArray());
    }

    private Path file() {
        return temporary.resolve("adapter.gguf");
    }

    private static float[] tensor(String reference, String name) {
        Path path = CommandRun.reference(reference).resolve("adapter_final/adapter_model.safetensors");
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            return FloatTensors.read(file, file.find("base_model.model." + name).orElseThrow());
        }
    }

    @Test
    void aLlamaAdapterHasLlamaCppsNamesAndOrderOfRows() throws IOException {
        // The base model is found where the adapter says: ../model.
        assertThat(export("llama-qv").result()).contains("llama", "8 tensors", "alpha 32.0");
        GgufFile gguf = GgufFile.read(file());

        assertThat(gguf.metadata())
                .containsEntry("general.architecture", "llama")
                .containsEntry("general.type", "adapter")
                .containsEntry("adapter.type", "lora")
                .containsEntry("adapter.lora.alpha", 32f);
        assertThat(gguf.tensors().keySet())
                .containsExactlyInAnyOrder(
                        "blk.0.attn_q.weight.lora_a",
                        "blk.0.attn_q.weight.lora_b",
                        "blk.0.attn_v.weight.lora_a",
                        "blk.0.attn_v.weight.lora_b",
                        "blk.1.attn_q.weight.lora_a",
                        "blk.1.attn_q.weight.lora_b",
                        "blk.1.attn_v.weight.lora_a",
                        "blk.1.attn_v.weight.lora_b");
        GgufFile.Tensor a = gguf.tensors().get("blk.0.attn_q.weight.lora_a");
        GgufFile.Tensor b = gguf.tensors().get("blk.0.attn_q.weight.lora_b");
        long rank = a.dimensions().get(1);
        assertThat(a.dimensions()).containsExactly(64L, rank);
        assertThat(b.dimensions()).containsExactly(rank, 64L);
        assertThat(a.values()).containsExactly(tensor("llama-qv", "model.layers.0.self_attn.q_proj.lora_A.weight"));
        float[] own = tensor("llama-qv", "model.layers.0.self_attn.q_proj.lora_B.weight");
        int r = (int) rank;
        // Heads of 16 rows: rows 0 and 8 of a head become its rows 0 and 1.
        for (int k = 0; k < r; k++) {
            assertThat(b.values()[k]).isEqualTo(own[k]);
            assertThat(b.values()[r + k]).isEqualTo(own[8 * r + k]);
            assertThat(b.values()[2 * r + k]).isEqualTo(own[r + k]);
            assertThat(b.values()[17 * r + k]).isEqualTo(own[24 * r + k]);
        }
        assertThat(gguf.tensors().get("blk.1.attn_v.weight.lora_b").values())
                .containsExactly(tensor("llama-qv", "model.layers.1.self_attn.v_proj.lora_B.weight"));
    }

    @Test
    void expertsAreStacked() throws IOException {
        assertThat(export("qwen3moe-everything", "--dtype", "float16").exitCode())
                .isZero();
        GgufFile gguf = GgufFile.read(file());

        assertThat(gguf.metadata()).containsEntry("general.architecture", "qwen3moe");
        assertThat(gguf.tensors())
                .containsKeys("blk.0.ffn_gate_inp.weight.lora_a", "blk.1.ffn_down_exps.weight.lora_b")
                .allSatisfy((_, tensor) -> assertThat(tensor.type()).isEqualTo(1));
        GgufFile.Tensor a = gguf.tensors().get("blk.1.ffn_up_exps.weight.lora_a");
        assertThat(a.dimensions()).containsExactly(48L, 2L, 5L);
        float[] third = tensor("qwen3moe-everything", "model.layers.1.mlp.experts.3.up_proj.lora_A.weight");
        for (int i = 0; i < third.length; i++) {
            assertThat(a.values()[3 * third.length + i])
                    .isCloseTo(third[i], within(1e-3f * Math.abs(third[i]) + 1e-6f));
        }
    }

    @Test
    void scalingsThatOneAlphaCannotSayGoIntoB() throws IOException {
        assertThat(export("llama-patterns").exitCode()).isZero();
        GgufFile gguf = GgufFile.read(file());
        float alpha = (Float) gguf.metadata().get("adapter.lora.alpha");

        assertThat(alpha).isPositive();
        assertThat(CommandRun.of(
                                "export",
                                "--adapter",
                                CommandRun.reference("llama-patterns").resolve("adapter_final"),
                                "--format",
                                "gguf",
                                "--output",
                                temporary.resolve("second.gguf"),
                                "--json")
                        .json()
                        .get("folded")
                        .intValue())
                .isPositive();
    }

    @Test
    void anEmbeddingsAIsTransposed() throws IOException {
        assertThat(export("embedding-lora").exitCode()).isZero();
        GgufFile.Tensor a = GgufFile.read(file()).tensors().get("token_embd.weight.lora_a");
        float[] own = tensor("embedding-lora", "model.embed_tokens.lora_embedding_A");
        int rank = Math.toIntExact(a.dimensions().get(0));
        int vocabulary = Math.toIntExact(a.dimensions().get(1));

        assertThat(own).hasSize(rank * vocabulary);
        for (int token = 0; token < vocabulary; token++) {
            assertThat(a.values()[token * rank]).isEqualTo(own[token]);
        }
    }

    @Test
    void whatGgufCannotHoldIsRefused() throws IOException {
        assertThat(export("llama-dora").error(2)).contains("DoRA");
        assertThat(export("qwen2-lora-bias").error(2)).contains("lora_bias");
        assertThat(export("full-router").exitCode()).isEqualTo(2);
        assertThat(export("tokens-untied").exitCode()).isEqualTo(2);
        assertThat(Files.exists(file())).isFalse();
        Files.writeString(file(), "precious");
        assertThat(export("llama-qv").error(2)).contains("exists already");
        assertThat(Files.readString(file())).isEqualTo("precious");
    }

    @Test
    void missingOptionsAreTold() {
        assertThat(CommandRun.of("export", "--adapter", "x", "--output", "y").error(2))
                .contains("format");
        assertThat(export("llama-qv", "--format", "onnx").error(2)).contains("onnx");
    }
}
