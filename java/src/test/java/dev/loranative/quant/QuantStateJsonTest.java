package dev.loranative.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class QuantStateJsonTest {

    private static final String NESTED =
            "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": [256, 128],"
                    + " \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": 0.20505714416503906}";

    private static QuantState parse(String text) {
        return QuantStateJson.parse(text.getBytes(StandardCharsets.UTF_8), "a.weight.quant_state");
    }

    /** Texts as bitsandbytes 0.50.1 wrote them. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                NESTED,
                "{\"quant_type\": \"fp4\", \"blocksize\": 4096, \"dtype\": \"float32\", \"shape\": [3, 21]}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [2, 64],"
                        + " \"nested_blocksize\": 256, \"nested_dtype\": \"float32\","
                        + " \"nested_offset\": 2.1457672119140625e-06}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": [2, 64],"
                        + " \"nested_blocksize\": 256, \"nested_dtype\": \"float32\","
                        + " \"nested_offset\": 2.7550648847397363e-40}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [2, 64],"
                        + " \"nested_blocksize\": 256, \"nested_dtype\": \"float32\","
                        + " \"nested_offset\": 2.5025382529348102e+30}"
            })
    void whatIsReadIsWrittenAgainByteForByte(String text) {
        assertThat(new String(QuantStateJson.write(parse(text)), StandardCharsets.UTF_8))
                .isEqualTo(text);
    }

    @Test
    void sizesFollowFromTheShape() {
        QuantState state =
                parse("{\"quant_type\": \"nf4\", \"blocksize\": 32, \"dtype\": \"float32\", \"shape\": [3, 101]}");
        assertThat(state.shape()).isEqualTo(List.of(3L, 101L));
        assertThat(state.codeBytes()).isEqualTo(152);
        assertThat(state.blocks()).isEqualTo(10);
        assertThat(state.nestedBlocks()).isEqualTo(1);
    }

    @ParameterizedTest
    @CsvSource({
        "0.1, 0.1",
        "0.0001, 0.0001",
        "0.00001, 1e-05",
        "0.000123456, 0.000123456",
        "-2.5e-7, -2.5e-07",
        "5, 5.0",
        "1e15, 1000000000000000.0",
        "1e16, 1e+16",
        "-1.25e101, -1.25e+101",
        "0, 0.0",
        "-0.0, -0.0"
    })
    void numbersAreSpelledAsInPython(double value, String text) {
        assertThat(QuantStateJson.pythonNumber(value)).isEqualTo(text);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            "nf4"                | "int4"      | quant_type 'int4'
            "blocksize": 64      | "blocksize": 48   | blocksize 48
            "blocksize": 64      | "blocksize": 8192 | blocksize 8192
            "blocksize": 64      | "block": 64       | lacks blocksize
            "bfloat16"           | "int8"            | dtype 'int8'
            [256, 128]           | [256]             | shape [256]
            [256, 128]           | [256, 0]          | shape [256,0]
            [256, 128]           | [2147483648, 2147483648, 4] | shape [2147483648,2147483648,4]
            [256, 128]           | [4, 8, 2, 1]      | shape [4,8,2,1]
            [256, 128]           | "all"             | shape "all"
            "nested_blocksize": 256, | ''            | lacks nested_blocksize
            "nested_blocksize": 256  | "nested_blocksize": 64 | nested_blocksize 64
            "float32"            | "bfloat16"        | nested_dtype
            0.20505714416503906  | 1e300             | nested_offset
            0.20505714416503906  | "x"               | nested_offset
            0.20505714416503906  | 1e400             | nested_offset
            }                    | ''                | not JSON
            """)
    void whatCannotBeIsRefused(String before, String after, String message) {
        assertThat(NESTED).contains(before);
        assertThatThrownBy(() -> parse(NESTED.replace(before, after)))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e.getMessage()).contains("a.weight.quant_state", message);
                    assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
                });
    }
}
