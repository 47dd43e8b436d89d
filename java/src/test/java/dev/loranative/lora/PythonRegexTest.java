package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PythonRegexTest {

    /** The last column is {@code bool(re.fullmatch(expression, name))} in Python 3.11. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            '(?P<a_b>q|k)_proj'         | k_proj    | true
            (?P<x>a)(?P=x)              | aa        | true
            (?P<x>a)(?P=x)              | ab        | false
            (?P<x_1>a)(?P<x1>b)(?P=x_1) | aba       | true
            q(?#any text)_proj          | q_proj    | true
            q_proj\\Z                   | q_proj    | true
            q{,2}x                      | qqx       | true
            q{,2}x                      | x         | true
            q{,2}x                      | qqqx      | false
            q{2}                        | qq        | true
            a{b}                        | a{b}      | true
            [a&&b]                      | a         | true
            [a&&b]                      | &         | true
            [[]x                        | [x        | true
            []]x                        | ]x        | true
            [^]]x                       | ax        | true
            [\\d.]+                     | 1.2       | true
            \\(?P                       | P         | true
            (?i)Q_PROJ                  | q_proj    | true
            (?:layers)\\.\\d            | layers.3  | true
            proj                        | q_proj    | false
            'q_proj|.*'                 | anything  | true
            """)
    void matchesAsPythonDoes(String expression, String name, boolean matches) {
        assertThat(PythonRegex.compile(expression, "target_modules").matchesWhole(name))
                .isEqualTo(matches);
    }

    @ParameterizedTest
    @ValueSource(strings = {"(q_proj", "[a", "*q", "(?P=none)", "(?P>x)", "q)"})
    void whatIsNoExpressionIsRefused(String expression) {
        assertThatThrownBy(() -> PythonRegex.compile(expression, "target_modules"))
                .isInstanceOf(UserException.class)
                .hasMessageContaining(expression)
                .hasMessageContaining("target_modules");
    }
}
