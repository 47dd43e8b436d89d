package dev.loranative.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.NativeHeader.Function;
import dev.loranative.ffi.NativeHeader.Member;
import dev.loranative.tensor.Activation;
import dev.loranative.tensor.DType;
import java.lang.reflect.RecordComponent;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The bindings say exactly what the header says. */
class HeaderParityTest {

    private static final NativeHeader HEADER = NativeHeader.read();

    @Test
    void everyFunctionIsBoundAndNothingElse() {
        assertThat(bindings().keySet()).isEqualTo(HEADER.functions().keySet());
        assertThat(HEADER.functions()).hasSizeGreaterThan(30);
    }

    @Test
    void everyComponentOfKernelsNamesASymbolOfItsOwn() {
        assertThat(bindings()).hasSize(Kernels.class.getRecordComponents().length);
    }

    @ParameterizedTest
    @MethodSource("functions")
    void bindingsCarryTheTypesOfThePrototype(String name) {
        assertThat(bindings().get(name)).isEqualTo(HEADER.functions().get(name));
    }

    @Test
    void everyStructHasALayoutAndNothingElse() {
        assertThat(Structs.ALL.stream().map(NativeStruct::name))
                .containsExactlyInAnyOrderElementsOf(HEADER.structs().keySet());
    }

    @ParameterizedTest
    @MethodSource("structs")
    void layoutsHaveTheFieldsOfTheStruct(NativeStruct struct) {
        List<Member> fields = new ArrayList<>();
        struct.fields().forEach((name, field) -> fields.add(new Member(field.carrier(), name)));

        assertThat(fields).isEqualTo(HEADER.structs().get(struct.name()));
    }

    /** Offsets by the rule of the platforms we build for: every type is aligned to its size. */
    @ParameterizedTest
    @MethodSource("structs")
    void offsetsAreThoseOfC(NativeStruct struct) {
        long offset = 0;
        long largest = 1;
        for (Member member : HEADER.structs().get(struct.name())) {
            long size = switch (member.carrier()) {
                case POINTER, INT64, DOUBLE -> 8;
                case INT32, FLOAT -> 4;
            };
            offset += (size - offset % size) % size;
            assertThat(struct.fields().get(member.name()).offset())
                    .as(struct.name() + "." + member.name())
                    .isEqualTo(offset);
            offset += size;
            largest = Math.max(largest, size);
        }
        assertThat(struct.bytes()).isEqualTo(offset + (largest - offset % largest) % largest);
    }

    /** The same as the rule above, said by the compiler. */
    @Test
    void offsetsAreThoseOfTheCompiler(@TempDir Path folder) {
        StringBuilder source =
                new StringBuilder("#include <stddef.h>\n#include <stdio.h>\n#include \"lora_native.h\"\n");
        StringBuilder expected = new StringBuilder();
        source.append("int main(void) {\n");
        for (NativeStruct struct : Structs.ALL) {
            source.append("printf(\"" + struct.name() + " %zu\\n\", sizeof(" + struct.name() + "));\n");
            expected.append(struct.name() + " " + struct.bytes() + "\n");
            struct.fields().forEach((name, field) -> {
                source.append("printf(\"" + name + " %zu\\n\", offsetof(" + struct.name() + ", " + name + "));\n");
                expected.append(name + " " + field.offset() + "\n");
            });
        }
        source.append("return 0; }\n");

        assertThat(Compiler.run(folder, source.toString(), NativeHeader.folder()))
                .isEqualTo(expected.toString());
    }

    @Test
    void theVersionIsThatOfTheHeader() {
        assertThat(NativeLibrary.ABI_VERSION).isEqualTo(HEADER.abiVersion());
    }

    @Test
    void enumsHaveTheNumbersOfTheHeader() {
        assertThat(numbers(SimdTier.values(), "LN_SIMD_"))
                .isEqualTo(HEADER.enums().get("ln_simd"));
        assertThat(numbers(Activation.values(), "LN_")).isEqualTo(HEADER.enums().get("ln_activation"));
        Map<String, Integer> dtypes = HEADER.enums().get("ln_dtype");
        assertThat(numbers(Arrays.copyOf(DType.values(), dtypes.size()), "LN_")).isEqualTo(dtypes);
    }

    @Test
    void theParserReadsTheCThatTheHeaderUses() {
        NativeHeader header = NativeHeader.parse("""
                /* LN_API int32_t ln_commented(void); */
                #define LN_ABI_VERSION 7
                enum ln_kind { LN_ONE = 1, /* first */ LN_TWO = 2 };
                typedef struct ln_opaque ln_opaque;
                typedef struct ln_args {
                  const void* const* tables; /* [n] */
                  int64_t m, n;  // sizes
                  float alpha;
                } ln_args;
                LN_API const char* ln_text(const ln_opaque* opaque);
                LN_API int32_t ln_run(ln_opaque* opaque, const ln_args* args,
                                      double x, int32_t flag);
                """);

        assertThat(header.abiVersion()).isEqualTo(7);
        assertThat(header.enums()).containsExactly(Map.entry("ln_kind", Map.of("LN_ONE", 1, "LN_TWO", 2)));
        assertThat(header.structs())
                .containsExactly(Map.entry(
                        "ln_args",
                        List.of(
                                new Member(Carrier.POINTER, "tables"),
                                new Member(Carrier.INT64, "m"),
                                new Member(Carrier.INT64, "n"),
                                new Member(Carrier.FLOAT, "alpha"))));
        assertThat(header.functions())
                .containsExactly(
                        Map.entry("ln_text", new Function(Carrier.POINTER, List.of(Carrier.POINTER))),
                        Map.entry(
                                "ln_run",
                                new Function(
                                        Carrier.INT32,
                                        List.of(Carrier.POINTER, Carrier.POINTER, Carrier.DOUBLE, Carrier.INT32))));
    }

    @Test
    void theParserRefusesATypeWithoutCarrier() {
        assertThatThrownBy(() -> NativeHeader.parse("#define LN_ABI_VERSION 1\nLN_API int32_t ln_f(short x);"))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("'short'");
    }

    static Stream<String> functions() {
        return HEADER.functions().keySet().stream();
    }

    static List<NativeStruct> structs() {
        return Structs.ALL;
    }

    private static Map<String, Function> bindings() {
        Map<String, Function> bindings = new LinkedHashMap<>();
        for (RecordComponent component : Kernels.class.getRecordComponents()) {
            Symbol symbol = component.getAnnotation(Symbol.class);
            bindings.put(symbol.value(), new Function(symbol.returns(), List.of(symbol.takes())));
        }
        return bindings;
    }

    private static Map<String, Integer> numbers(Enum<?>[] constants, String prefix) {
        Map<String, Integer> numbers = new LinkedHashMap<>();
        for (Enum<?> constant : constants) {
            numbers.put(prefix + constant.name().toUpperCase(Locale.ROOT), constant.ordinal());
        }
        return numbers;
    }
}
