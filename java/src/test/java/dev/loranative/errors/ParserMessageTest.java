package dev.loranative.errors;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.NullAndEmptySource;

class ParserMessageTest {

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "Duplicate Object property \"r\"                                     | Duplicate Object property \"r\"",
                "Non-standard token 'NaN': enable `ALLOW_NON_NUMERIC` to allow      | Non-standard token 'NaN'",
                "Trailing token (`START_OBJECT`) found after value: not allowed     | text after the end of the value",
                "Document nesting depth (501) exceeds the maximum allowed (500, from `getMaxNestingDepth()`)"
                        + "| Document nesting depth (501) exceeds the maximum allowed (500)",
                "expected close marker for Object (start marker at [Source: REDACTED; byte offset: #UNKNOWN])"
                        + "| expected close marker for Object"
            })
    void advice_for_programmers_is_left_out(String original, String plain) {
        assertThat(ParserMessage.plain(original)).isEqualTo(plain);
    }

    @ParameterizedTest
    @CsvSource({"'first\n  second', 'first second'", "'\ttab', 'tab'"})
    void a_message_is_one_line(String original, String plain) {
        assertThat(ParserMessage.plain(original)).isEqualTo(plain);
    }

    @ParameterizedTest
    @NullAndEmptySource
    void no_message_still_says_something(String original) {
        assertThat(ParserMessage.plain(original)).isEqualTo("not readable");
    }
}
