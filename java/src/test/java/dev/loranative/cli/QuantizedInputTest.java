package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.quant.FourBitFixture;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Broken 4-bit checkpoints, and options that contradict a good one: exit code 2, before anything is loaded. */
class QuantizedInputTest {

    private static final String WEIGHT = "model.layers.1.mlp.up_proj.weight";
    private static final String STATE = WEIGHT + ".quant_state.bitsandbytes__nf4";

    @TempDir
    Path temporary;

    private String refused(UnaryOperator<FourBitFixture> spoil) {
        Path model = spoil.apply(FourBitFixture.copyOf(FourBitFixture.ODD)).writeTo(temporary.resolve("model"));
        return CommandRun.of("inspect", "--model", model).error(2);
    }

    @Test
    void aGoodOneIsRead() {
        CommandRun run = CommandRun.of("inspect", "--model", FourBitFixture.ODD, "--json");
        assertThat(run.json().get("parameters").longValue()).isEqualTo(110774);
    }

    @Test
    void missingScales() {
        assertThat(refused(model -> model.without(WEIGHT + ".absmax"))).contains("lacks " + WEIGHT + ".absmax");
    }

    @Test
    void missingScalesOfScales() {
        assertThat(refused(model -> model.without(WEIGHT + ".nested_absmax")))
                .contains(STATE, "no " + WEIGHT + ".nested_absmax");
    }

    @Test
    void missingState() {
        assertThat(refused(model -> model.without(STATE))).contains(WEIGHT + ".absmax", "lacks " + STATE);
    }

    @Test
    void missingTable() {
        assertThat(refused(model -> model.without(WEIGHT + ".quant_map"))).contains("lacks " + WEIGHT + ".quant_map");
    }

    @Test
    void missingCodes() {
        assertThat(refused(model -> model.without(WEIGHT))).contains(STATE, "lacks " + WEIGHT);
    }

    @Test
    void unknownType() {
        assertThat(refused(model -> model.rename(STATE, WEIGHT + ".quant_state.bitsandbytes__int4")))
                .contains("bitsandbytes__int4", "unknown type");
        assertThat(refused2(model -> model.rename(STATE, WEIGHT + ".quant_state.otherlib__nf4")))
                .contains("otherlib__nf4", "unknown type");
    }

    private String refused2(UnaryOperator<FourBitFixture> spoil) {
        Path model = spoil.apply(FourBitFixture.copyOf(FourBitFixture.ODD)).writeTo(temporary.resolve("other"));
        return CommandRun.of("inspect", "--model", model).error(2);
    }

    @Test
    void nameAndStateDisagree() {
        assertThat(refused(model -> model.rename(STATE, WEIGHT + ".quant_state.bitsandbytes__fp4")))
                .contains("bitsandbytes__fp4 says quant_type 'nf4'");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            "blocksize": 64 | "blocksize": 100 | blocksize 100
            "blocksize": 64 | "blocksize": 128 | absmax has 143 elements
            [101, 90]       | [90, 101]        | is [90, 101] in
            [101, 90]       | [101, 94]        | needs 4747
            [101, 90]       | [99999999999999999999, 90] | has the shape
            "nf4"           | "nf5"            | quant_type 'nf5'
            , "nested_dtype": "float32" | ''   | lacks nested_dtype
            """)
    void stateThatDoesNotFit(String before, String after, String message) {
        assertThat(refused(model -> model.replaceText(STATE, before, after))).contains(STATE, message);
    }

    @Test
    void stateThatIsCutShort() {
        assertThat(refused(model -> model.cut(STATE, 40))).contains(STATE, "is not JSON");
    }

    @Test
    void doubleQuantisationThatIsCutShort() {
        assertThat(refused(model -> model.cut(WEIGHT + ".nested_quant_map", 200)))
                .contains("nested_quant_map has 200 elements", "need 256");
    }

    @Test
    void scalesThatAreCutShort() {
        assertThat(refused(model -> model.cut(WEIGHT + ".absmax", 140)))
                .contains("absmax has 140 elements", "need 143");
    }

    @Test
    void scalesThatAreNoNumbers() {
        assertThat(refused(model -> model.setFloat(WEIGHT + ".nested_absmax", 0, Float.NaN)))
                .contains("nested_absmax holds NaN at element 0");
    }

    @Test
    void scalesOfAnotherType() {
        assertThat(refused(model -> model.with(
                        WEIGHT + ".absmax", ElementType.F32, List.of(143L), MemorySegment.ofArray(new float[143]))))
                .contains("absmax is F32, expected U8");
    }

    @Test
    void anotherTable() {
        assertThat(refused(model -> model.setFloat(WEIGHT + ".quant_map", 3, 0.5f)))
                .contains("quant_map holds 0.5 at element 3");
    }

    @Test
    void aNormInFourBits() {
        assertThat(refused(model -> {
                    for (String part : List.of(
                            "",
                            ".absmax",
                            ".quant_map",
                            ".nested_absmax",
                            ".nested_quant_map",
                            ".quant_state.bitsandbytes__nf4")) {
                        model.rename(WEIGHT + part, "model.norm.weight" + part);
                    }
                    return model.with(
                            WEIGHT, ElementType.F32, List.of(101L, 90L), MemorySegment.ofArray(new float[9090]));
                }))
                .contains("model.norm.weight is [101, 90]", "instead of [90]");
    }

    @ParameterizedTest
    @CsvSource({
        "--bnb-4bit-quant-type, fp4, nf4",
        "--bnb-4bit-use-double-quant, false, true",
        "--bnb-4bit-blocksize, 128, 64"
    })
    void optionsThatContradictTheCheckpoint(String flag, String asked, String found) {
        CommandRun run = eval("--load-in-4bit", flag, asked);
        assertThat(run.error(2))
                .contains(flag.substring(2).replace('-', '_') + " is " + asked, "with " + found + " in model.layers");
    }

    @Test
    void optionsThatAgreeAreFine() {
        String loss = eval("--bnb-4bit-quant-type", "fp4").result();
        assertThat(eval(
                                "--load-in-4bit",
                                "--bnb-4bit-quant-type",
                                "nf4",
                                "--bnb-4bit-use-double-quant",
                                "--bnb-4bit-blocksize",
                                "64")
                        .result())
                .isEqualTo(loss);
    }

    private CommandRun eval(Object... more) {
        Path data = temporary.resolve("data.jsonl");
        try {
            Files.writeString(data, "{\"input_ids\": [1, 5, 9, 2, 6]}\n");
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
        Object[] args = new Object[more.length + 5];
        List<Object> first = List.of("eval", "--model", FourBitFixture.ODD, "--data", data);
        for (int i = 0; i < args.length; i++) {
            args[i] = i < first.size() ? first.get(i) : more[i - first.size()];
        }
        return CommandRun.of(args);
    }

    /** transformers ends with an assertion when it computes with such a model. */
    @Test
    void fourBitsThatAreOnlyClaimedAreNotSilentlySixteen() throws IOException {
        Path model = claiming("{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true}");
        CommandRun plain = CommandRun.of("inspect", "--model", model);
        assertThat(plain.error(2)).contains(model + "/config.json has a quantization_config of 4 bits, but no weight");
        assertThat(plain.hint()).contains("--load-in-4bit");

        Path data = Files.writeString(temporary.resolve("data.jsonl"), "{\"input_ids\": [1, 5, 9, 2, 6]}\n");
        CommandRun quantised = CommandRun.of("eval", "--model", model, "--data", data, "--load-in-4bit", "--json");
        CommandRun expected =
                CommandRun.of("eval", "--model", FourBitFixture.ODD_SOURCE, "--data", data, "--load-in-4bit", "--json");
        assertThat(quantised.json()).isEqualTo(expected.json());
        CommandRun.of("quantize", "--model", model, "--output", temporary.resolve("nf4"))
                .result();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            {"quant_method": "gptq", "bits": 4}                         | gptq
            {"quant_method": "awq", "bits": 4}                          | awq
            {"quant_method": "fp8"}                                     | fp8
            {"quant_method": "bitsandbytes", "load_in_8bit": true}      | bitsandbytes in 8 bits
            {"load_in_8bit": true}                                      | bitsandbytes in 8 bits
            {"bits": 4}                                                 | an unknown method
            """)
    void otherFormatsAreNamed(String quantization, String message) throws IOException {
        CommandRun run = CommandRun.of("inspect", "--model", claiming(quantization));

        assertThat(run.error(2)).contains("quantised by " + message);
        assertThat(run.hint()).contains("nf4");
    }

    private Path claiming(String quantization) throws IOException {
        Path model = FourBitFixture.copyOf(FourBitFixture.ODD_SOURCE).writeTo(temporary.resolve("model"));
        Path config = model.resolve("config.json");
        String text = Files.readString(config).stripTrailing();
        Files.writeString(
                config, text.substring(0, text.length() - 1) + ", \"quantization_config\": " + quantization + "}");
        return model;
    }
}
