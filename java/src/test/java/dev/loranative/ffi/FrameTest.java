package dev.loranative.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

class FrameTest {

    private static final NativeStruct STRUCT = NativeStruct.of(
            "ln_example", "int32 count, double rate, float scale, pointer data, int64 size, int32 flag");

    @Test
    void fieldsLieWhereCPutsThem() {
        try (Arena arena = Arena.ofConfined()) {
            Frame frame = new Frame(STRUCT, arena)
                    .int32("count", -3)
                    .float64("rate", 0.5)
                    .float32("scale", 2.5f)
                    .pointer("data", 0x1234_5678_9abcL)
                    .int64("size", Long.MIN_VALUE)
                    .flag("flag", true);

            assertThat(frame.memory().byteSize()).isEqualTo(48);
            assertThat(frame.memory().get(ValueLayout.JAVA_INT, 0)).isEqualTo(-3);
            assertThat(frame.memory().get(ValueLayout.JAVA_DOUBLE, 8)).isEqualTo(0.5);
            assertThat(frame.memory().get(ValueLayout.JAVA_FLOAT, 16)).isEqualTo(2.5f);
            assertThat(frame.memory().get(ValueLayout.JAVA_LONG, 24)).isEqualTo(0x1234_5678_9abcL);
            assertThat(frame.memory().get(ValueLayout.JAVA_LONG, 32)).isEqualTo(Long.MIN_VALUE);
            assertThat(frame.memory().get(ValueLayout.JAVA_INT, 40)).isEqualTo(1);
        }
    }

    @Test
    void clearForgetsTheLastCall() {
        try (Arena arena = Arena.ofConfined()) {
            Frame frame = new Frame(STRUCT, arena).pointer("data", 8).int64("size", 1);

            frame.clear();

            assertThat(frame.memory().toArray(ValueLayout.JAVA_BYTE)).containsOnly(0);
        }
    }

    @Test
    void refusesAFieldOfAnotherNameOrType() {
        try (Arena arena = Arena.ofConfined()) {
            Frame frame = new Frame(STRUCT, arena);

            assertThatThrownBy(() -> frame.int64("sizes", 1))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("ln_example has no INT64 field sizes");
            assertThatThrownBy(() -> frame.int32("size", 1))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("ln_example has no INT32 field size");
        }
    }

    @Test
    void aStructDoesNotDeclareAFieldTwice() {
        assertThatThrownBy(() -> NativeStruct.of("ln_twice", "int32 a, int64 a"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("ln_twice declares a twice");
    }
}
