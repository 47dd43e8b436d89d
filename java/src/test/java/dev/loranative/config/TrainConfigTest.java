package dev.loranative.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TrainConfigTest extends ParsedConfig {

    @Test
    void flagsWinOverTheFileAndTheFileOverDefaults() throws Exception {
        Files.writeString(yaml, "model: m\ndata: d.jsonl\noutput_dir: o\nr: 4\nlora_alpha: 32\n");
        TrainConfig config = TrainConfig.parse(Optional.of(yaml), List.of("--lora-alpha", "12.5"));

        assertThat(config.lora().r()).isEqualTo(4);
        assertThat(config.lora().loraAlpha()).isEqualTo(12.5);
        assertThat(config.lora().loraDropout()).isZero();
        assertThat(config.values().origin(LoraKeys.R)).isEqualTo(yaml + ":4");
        assertThat(config.values().origin(LoraKeys.LORA_ALPHA)).isEqualTo("--lora-alpha");
        assertThat(config.values().origin(LoraKeys.LORA_DROPOUT)).isEqualTo(ConfigValues.DEFAULT);
        assertThat(config.model().path()).isEqualTo(Path.of("m"));
        assertThat(config.data().dataset()).containsExactly(Path.of("d.jsonl"));
    }

    @Test
    void theConfigFlagNamesTheFile() throws Exception {
        Files.writeString(yaml, "r: 3\n");
        assertThat(parse("--config", yaml.toString()).lora().r()).isEqualTo(3);
        assertThat(parse("--r=5", "--config=" + yaml).lora().r()).isEqualTo(5);
    }

    @Test
    void defaultsAreThoseOfTheDocumentation() {
        TrainConfig config = parse();
        assertThat(config.lora().r()).isEqualTo(8);
        assertThat(config.lora().loraAlpha()).isEqualTo(8);
        assertThat(config.lora().targetModules()).isEmpty();
        assertThat(config.lora().initLoraWeights()).isEqualTo(InitLoraWeights.KAIMING);
        assertThat(config.run().batchSize()).isEqualTo(8);
        assertThat(config.run().gradientAccumulationSteps()).isEqualTo(1);
        assertThat(config.run().numTrainEpochs()).isEqualTo(3);
        assertThat(config.run().maxSteps()).isEmpty();
        assertThat(config.run().seed()).isEqualTo(42);
        assertThat(config.run().saveSteps()).hasValue(500);
        assertThat(config.run().evalSteps()).isEmpty();
        assertThat(config.run().resume()).isEqualTo(Resume.NO);
        assertThat(config.optimizer())
                .isEqualTo(new OptimizerOptions(2e-5, 0, 0.9, 0.999, 1e-8, 1, OptionalDouble.empty(), 1e-6, false));
        assertThat(config.schedule().type()).isEqualTo(ScheduleType.LINEAR);
        assertThat(config.schedule().warmupSteps(100)).isZero();
        assertThat(config.data().maxLength()).hasValue(1024);
        assertThat(config.data().shuffle()).isTrue();
        assertThat(config.data().completionOnlyLoss()).isEmpty();
        assertThat(config.model().routerAuxLossCoef()).isZero();
        assertThat(config.model().dtype()).isEmpty();
        assertThat(config.machine().device()).isEqualTo("auto");
        assertThat(config.machine().threads()).isZero();
        assertThat(config.machine().maxMemoryBytes()).isEmpty();
    }

    @Test
    void everySpellingOfAFlagIsRead() {
        assertThat(parse("--lora_alpha=3").lora().loraAlpha()).isEqualTo(3);
        assertThat(parse("--use-rslora").lora().useRslora()).isTrue();
        assertThat(parse("--use-rslora", "false").lora().useRslora()).isFalse();
        assertThat(parse("--use_rslora=true").lora().useRslora()).isTrue();
        assertThat(parse("--use-rslora", "--no-use-rslora").lora().useRslora()).isFalse();
        assertThat(parse("--use-rslora", "--r", "2").lora().r()).isEqualTo(2);
        assertThat(parse("--max-steps", "-1").run().maxSteps()).isEmpty();
        assertThat(parse("--max-length", "null").data().maxLength()).isEmpty();
        assertThat(parse("--save-steps", "none").run().saveSteps()).isEmpty();
        assertThat(parse("--max-memory", "1.5GiB").machine().maxMemoryBytes()).hasValue(3L << 29);
        assertThat(parse("--max-memory", "8GB").machine().maxMemoryBytes()).hasValue(8_000_000_000L);
        assertThat(parse("--learning-rate", "2e-4").optimizer().learningRate()).isEqualTo(2e-4);
        assertThat(parse("--rank-pattern", "{q_proj: 4, v_proj: 2}").lora().rankPattern())
                .containsEntry("q_proj", 4)
                .containsEntry("v_proj", 2);
        assertThat(parse("--layers-to-transform", "0,2").lora().layersToTransform())
                .containsExactly(0, 2);
        assertThat(parse("--resume-from-checkpoint", "true").run().resume()).isEqualTo(new Resume.Newest());
        assertThat(parse("--resume-from-checkpoint", "out/checkpoint-3").run().resume())
                .isEqualTo(new Resume.From(Path.of("out/checkpoint-3")));
    }

    @Test
    void aWordOnTheCommandLineIsAListAndATextInYamlIsAnExpression() throws Exception {
        assertThat(targets("--target-modules", "q_proj")).isEqualTo(ModuleNames.of("q_proj"));
        assertThat(targets("--target-modules", "q_proj,v_proj")).isEqualTo(ModuleNames.of("q_proj", "v_proj"));
        assertThat(targets("--target-modules", "[q_proj, v_proj]")).isEqualTo(ModuleNames.of("q_proj", "v_proj"));
        assertThat(targets("--target-modules", "q_proj", "--target-modules", "mlp.gate"))
                .isEqualTo(ModuleNames.of("q_proj", "mlp.gate"));
        assertThat(targets("--target-modules", "all-linear")).isEqualTo(new ModuleNames.Pattern("all-linear"));
        assertThat(targets("--target-modules", ".*[qv]_proj")).isEqualTo(new ModuleNames.Pattern(".*[qv]_proj"));
        assertThat(targets("--target-modules", "[qv]_proj,x")).isEqualTo(new ModuleNames.Pattern("[qv]_proj,x"));

        assertThat(inYaml("q_proj")).isEqualTo(new ModuleNames.Pattern("q_proj"));
        assertThat(inYaml("'.*\\.gate'")).isEqualTo(new ModuleNames.Pattern(".*\\.gate"));
        assertThat(inYaml("[q_proj, gate]")).isEqualTo(ModuleNames.of("q_proj", "gate"));
        assertThat(inYaml("\n  - q_proj\n  - gate")).isEqualTo(ModuleNames.of("q_proj", "gate"));
        assertThat(inYaml("router")).isEqualTo(ModuleNames.of("router"));
        assertThat(inYaml("all-linear")).isEqualTo(new ModuleNames.Pattern("all-linear"));
    }

    @Test
    void unknownKeysNameTheNearest() throws Exception {
        Files.writeString(yaml, "r: 4\nlearning_rat: 1\n");
        assertThatThrownBy(() -> parse("--config", yaml.toString())).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessage("unknown key 'learning_rat' in " + yaml + ":2");
            assertThat(e.hint()).contains("learning_rate");
            assertThat(e.exitCode()).isEqualTo(2);
        });
        assertThatThrownBy(() -> parse("--lora-rank", "4")).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining("--lora-rank");
            assertThat(e.hint()).contains("--lora-r");
        });
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            r                           | 0         | at least 1
            r                           | 2.5       | whole number
            r                           | .nan      | whole number
            r                           | true      | whole number
            r                           | 99999999999 | whole number
            lora_alpha                  | 0         | above 0
            lora_alpha                  | null      | lora_alpha
            lora_dropout                | 1         | below 1
            lora_dropout                | -0.1      | from 0
            learning_rate               | -1        | at least 0
            learning_rate               | .nan      | at least 0
            learning_rate               | .inf      | at least 0
            learning_rate               | fast      | 'fast'
            max_steps                   | 0         | at least 1
            max_steps                   | -2        | whole number
            num_train_epochs            | 0         | above 0
            adam_beta2                  | 1         | below 1
            warmup_ratio                | 1.1       | from 0 to 1
            per_device_train_batch_size | 0         | at least 1
            seed                        | -1        | at least 0
            max_length                  | 0         | at least 1
            lr_scheduler_type           | linea     | one of linear
            train_sampling_strategy     | sorted    | one of random
            gradient_checkpointing      | maybe     | true or false
            dtype                       | int8      | one of auto
            device                      | gpu       | cuda:N
            max_memory                  | lots      | 8GB
            threads                     | -1        | at least 0
            target_modules              | 3         | list of module names
            target_modules              | [q, 3]    | list of module names
            layers_to_transform         | [0, 1.5]  | whole number
            layers_to_transform         | [null]    | last:K
            rank_pattern                | {q: 0}    | at least 1
            rank_pattern                | 7         | a map
            init_lora_weights           | pisa      | one of true, false, gaussian, orthogonal, olora, pissa, pissa_niter_N, loftq, eva
            init_lora_weights           | mica      | corda, lora_ga and mica are not supported
            init_lora_weights           | pissa_niter_0 | one of true
            eva_config                  | {rho: 0.5} | rho is at least 1
            eva_config                  | {rank: 3} | without rank
            loftq_config                | {loftq_iter: 2} | loftq_iter is 1
            loraplus_lr_ratio           | 0         | above 0
            save_total_limit            | 0         | at least 1
            bnb_4bit_blocksize          | 48        | power of two from 32 to 4096
            bnb_4bit_blocksize          | 8192      | power of two from 32 to 4096
            bnb_4bit_quant_type         | int4      | one of nf4, fp4
            """)
    void valuesOutOfRangeAreRefusedWithKeyValueAndLine(String key, String value, String expectation) throws Exception {
        Files.writeString(yaml, "# a run\n" + key + ": " + value + "\n");
        assertThatThrownBy(() -> parse("--config", yaml.toString())).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e.exitCode()).isEqualTo(2);
            assertThat(e).hasMessageContaining(key).hasMessageContaining(expectation);
            assertThat(e).hasMessageContaining(yaml + ":2");
            assertThat(e.hint()).isNotBlank();
        });
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "packing: true",
                "assistant_only_loss: true",
                "optim: adafactor",
                "report_to: tensorboard",
                "report_to: [none, wandb]",
                "train_sampling_strategy: group_by_length",
            })
    void whatIsNotThereYetIsSaid(String line) throws Exception {
        Files.writeString(yaml, line + "\n");
        assertThatThrownBy(() -> parse("--config", yaml.toString())).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e.exitCode()).isEqualTo(2);
            assertThat(e)
                    .hasMessageContaining(line.substring(0, line.indexOf(':')))
                    .hasMessageContaining("not supported yet");
        });
    }

    @ParameterizedTest
    @CsvSource({
        "adamw, false",
        "adamw_torch_fused, false",
        "adamw_8bit, true",
        "adamw_bnb_8bit, true",
        "paged_adamw_8bit, true"
    })
    void transformersNamesOfAdamWSayWhatItsMomentsAreKeptIn(String name, boolean eightBit) {
        assertThat(parse("--optim", name).optimizer().eightBit()).isEqualTo(eightBit);
    }

    @Test
    void peftDefaultsOfThoseAreAccepted() throws Exception {
        Files.writeString(yaml, """
                use_dora: false
                modules_to_save: null
                trainable_token_indices: []
                bias: none
                loftq_config: {}
                megatron_core: megatron.core
                qalora_group_size: 16
                use_bdlora: null
                report_to: none
                optim: adamw_torch_fused
                """);
        assertThat(parse("--config", yaml.toString()).lora().r()).isEqualTo(8);
    }

    @Test
    void brokenFlagsAreRefused() {
        assertRefused("needs a value", "--r");
        assertRefused("--config must be a path, not ''", "--config=");
        assertRefused("not 'x' (the command line)", "--r", "4", "--r", "x");
        assertRefused("not 'q_proj  ' (the command line)", "--target-modules", "q_proj", "--target-modules", " ");
        assertRefused("needs a value", "--lora-alpha", "--r", "3");
        assertRefused("unexpected argument 'train'", "train");
        assertRefused("--no-r", "--no-r");
        assertRefused("--no-such-flag", "--no-such-flag");
        assertRefused("single regular expression", "--target-modules", ".*q", "--target-modules", "v_proj");
        assertRefused("empty", "--target-modules", "q_proj,,v_proj");
    }

    @Test
    void layersWithAnExpressionAreRefusedAsInPeft() {
        assertRefused("layers_to_transform", "--target-modules", "all-linear", "--layers-to-transform", "0");
        assertRefused("layers_to_transform", "--target-modules", ".*q", "--layers-to-transform", "0");
        assertRefused("layers_pattern", "--target-modules", "q_proj", "--layers-pattern", "h");
        assertThat(parse("--target-modules", "router", "--layers-to-transform", "1")
                        .lora()
                        .layersToTransform())
                .containsExactly(1);
    }

    @Test
    void modelDataAndOutputAreRequired() {
        assertThatThrownBy(() -> TrainConfig.parse(Optional.empty(), List.of("--model", "m", "--output", "o")))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e).hasMessageContaining("dataset");
                    assertThat(e.hint()).contains("--data");
                });
    }

    @Test
    void whatIsWrittenGivesTheSameConfigurationAgain() throws Exception {
        TrainConfig config = parse(
                "--target-modules",
                ".*\\.(gate|q_proj)",
                "--rank-pattern",
                "{'.*\\.gate': 4}",
                "--max-memory",
                "2GB",
                "--lr-scheduler-kwargs",
                "{num_cycles: 2}",
                "--save-steps",
                "null",
                "--eval-data",
                "a, b.jsonl",
                "--init-lora-weights",
                "gaussian",
                "--resume-from-checkpoint",
                "true",
                "--learning-rate",
                "1e-4");
        Files.writeString(yaml, config.toYaml());
        TrainConfig again = TrainConfig.parse(Optional.of(yaml), List.of());

        assertThat(again.values().toMap()).isEqualTo(config.values().toMap());
        assertThat(again.lora()).isEqualTo(config.lora());
        assertThat(again.data()).isEqualTo(config.data());
        assertThat(again.run()).isEqualTo(config.run());
        assertThat(again.run().saveSteps()).isEqualTo(OptionalInt.empty());
        assertThat(again.toYaml()).isEqualTo(config.toYaml());
        assertThat(config.toYaml()).contains("learning_rate: 1.0E-4").contains("# LoRA\n");
    }

    @Test
    void otherCommandsUseASubsetOfTheKeys() {
        ConfigParser parser = new ConfigParser(List.of(TrainKeys.MODEL, TrainKeys.THREADS));
        ConfigValues values = parser.parse(List.of("--model", "m", "--threads", "2"));
        assertThat(values.get(TrainKeys.THREADS)).isEqualTo(2);
        assertThatThrownBy(() -> parser.parse(List.of("--r", "2"))).isInstanceOf(UserException.class);
        assertThatThrownBy(() -> values.get(TrainKeys.SEED)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void theHelpNamesEveryKeyThatCanBeSet() {
        String help = ConfigText.help(TrainKeys.ALL);
        assertThat(help)
                .contains("--lora-alpha")
                .contains("--model-name-or-path, --model")
                .contains("[2.0E-5]");
        assertThat(help.lines()).allSatisfy(line -> assertThat(line.length()).isLessThanOrEqualTo(100));
        assertThat(help).doesNotContain("velora");
    }

    @ParameterizedTest
    @CsvSource({"lora_alfa, lora_alpha", "q_prj, q_proj", "gate_porj, gate_proj"})
    void theNearestNameIsFirst(String typed, String meant) {
        List<String> known = List.of("k_proj", "q_proj", "gate", "gate_proj", "lora_alpha", "lora_dropout", "o_proj");
        assertThat(Nearest.to(typed, known, 2).getFirst()).isEqualTo(meant);
    }

    private ModuleNames targets(String... flags) {
        return parse(flags).lora().targetModules().orElseThrow();
    }

    private ModuleNames inYaml(String value) throws Exception {
        Files.writeString(yaml, "target_modules: " + value + "\n");
        return targets("--config", yaml.toString());
    }
}
