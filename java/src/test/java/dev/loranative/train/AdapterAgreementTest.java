package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.config.ConfigText;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.TrainConfig;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterConfig;
import dev.loranative.lora.AdapterModule;
import dev.loranative.lora.AdapterTensors;
import dev.loranative.lora.FullTarget;
import dev.loranative.lora.FullTensor;
import dev.loranative.lora.Target;
import dev.loranative.lora.TargetMatcher;
import dev.loranative.lora.Targets;
import dev.loranative.lora.TokenRows;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class AdapterAgreementTest {

    private final ModuleTree tree = new ModuleTree(
            "qwen2",
            List.of(
                    module("model.embed_tokens", Kind.EMBEDDING, -1),
                    module("model.layers.0.self_attn.q_proj", Kind.ATTENTION, 0),
                    module("model.layers.0.self_attn.k_proj", Kind.ATTENTION, 0),
                    module("lm_head", Kind.HEAD, -1)));

    private final Adapter adapter = adapter("--target-modules=q_proj --r=2 --modules-to-save=lm_head"
            + " --trainable-token-indices=3,1 --rank-pattern={'q_proj':4}");

    @ParameterizedTest
    @ValueSource(
            strings = {
                "--seed=3",
                "--r=2 --bias=none",
                "--target-modules=q_proj --modules-to-save=lm_head --trainable-token-indices=3,1",
                "--target-modules=q_proj --modules-to-save=lm_head --trainable-token-indices=3,1 --rank-pattern={'q_proj':4}",
                "--lora-dropout=0.3",
                "--rank-pattern={'q_proj':4}",
            })
    void whatTheAdapterHoldsMayBeSaidAgain(String flags) {
        assertThatCode(() -> require(flags)).doesNotThrowAnyException();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            --rank-pattern={'q_proj':5} | q_proj is to have r 5, alpha 8.0, but the adapter source has r 4
            --alpha-pattern={'q_proj':5} | q_proj is to have r 4, alpha 5.0, but the adapter source has r 4, alpha 8.0
            --r=3                 | r is 3, but the adapter source has 2
            --lora-alpha=3        | lora_alpha is 3.0, but the adapter source has 8.0
            --use-rslora          | use_rslora is true
            --use-dora            | use_dora is true
            --lora-bias           | lora_bias is true
            --bias=all            | bias is all, but the adapter source has none
            --share-expert-adapters | share_expert_adapters is true
            --target-modules=q_proj | it also holds lm_head.weight
            --target-modules=q_proj,k_proj --modules-to-save=lm_head --trainable-token-indices=3,1 | it lacks model.layers.0.self_attn.k_proj
            --target-modules=q_proj --modules-to-save=lm_head --trainable-token-indices=1,3 | rows of model.embed_tokens is to have [1, 3], but the adapter source has [3, 1]
            --target-modules=q_proj --modules-to-save=lm_head --trainable-token-indices=3,1 --rank-pattern={'q_proj':5} | q_proj is to have r 5, alpha 8.0, but the adapter source has r 4
            """)
    void whatItDoesNotHoldIsRefused(String flags, String problem) {
        assertThatThrownBy(() -> require(flags))
                .isInstanceOfSatisfying(
                        UserException.class,
                        e -> org.assertj.core.api.Assertions.assertThat(e.exitCode())
                                .isEqualTo(2))
                .hasMessageContaining(problem);
    }

    @ParameterizedTest
    @ValueSource(strings = {"pissa", "eva", "false", "orthogonal"})
    void anInitialisationBesideAnAdapterIsRefused(String init) {
        TrainConfig config = config("--init-adapter=a --init-lora-weights=" + init);
        assertThatThrownBy(() -> AdapterAgreement.requireNoStart(config.values(), config.lora()))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("init_lora_weights " + init);
    }

    @ParameterizedTest
    @ValueSource(strings = {"--seed=1", "--init-lora-weights=true", "--init-lora-weights=gaussian"})
    void theDefaultMayBeSaidBesideAnAdapter(String flags) {
        TrainConfig config = config("--init-adapter=a " + flags);
        assertThatCode(() -> AdapterAgreement.requireNoStart(config.values(), config.lora()))
                .doesNotThrowAnyException();
    }

    @Test
    void theFileThatTheRunWroteMayBeGivenAgain(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("train_config.yaml");
        Files.writeString(file, ConfigText.yaml(config("--init-adapter=a").values()));
        TrainConfig again = TrainConfig.parse(Optional.of(file), List.of());
        Adapter other = adapter("--target-modules=q_proj,k_proj --r=2 --lora-alpha=3 --use-dora --bias=all");
        assertThatCode(() -> AdapterAgreement.require(again.values(), again.lora(), tree, other, folder))
                .doesNotThrowAnyException();
    }

    private void require(String flags) {
        TrainConfig config = config(flags);
        AdapterAgreement.require(config.values(), config.lora(), tree, adapter, Path.of("source"));
    }

    private static TrainConfig config(String flags) {
        List<String> all = Stream.concat(Stream.of("--model=m", "--data=d", "--output=o"), Stream.of(flags.split(" ")))
                .toList();
        return TrainConfig.parse(Optional.empty(), all);
    }

    /** What the flags target, without values. */
    private Adapter adapter(String flags) {
        LoraConfig lora = config(flags).lora();
        Targets targets = TargetMatcher.match(lora, tree);
        List<AdapterModule> modules = targets.list().stream()
                .map(target -> AdapterModule.of(target, new float[a(target)], new float[b(target)]))
                .toList();
        List<FullTensor> full = targets.full().stream()
                .map(target -> new FullTensor(target.name(), target.shape(), new float[size(target)]))
                .toList();
        List<TokenRows> rows = targets.tokens().stream()
                .map(target -> new TokenRows(
                        target.module(),
                        target.indices(),
                        new float[target.indices().size() * 4]))
                .toList();
        return new Adapter(
                new AdapterConfig(lora, Optional.empty(), List.of()),
                new AdapterTensors(modules, full, rows),
                List.of());
    }

    private static int a(Target target) {
        return Math.toIntExact(target.r() * target.module().in());
    }

    private static int b(Target target) {
        return Math.toIntExact(target.r() * target.module().out());
    }

    private static int size(FullTarget target) {
        return Math.toIntExact(target.parameters());
    }

    private static LinearModule module(String name, Kind kind, int layer) {
        return new LinearModule(name, kind, layer, -1, 6, 4, false, List.of());
    }
}
