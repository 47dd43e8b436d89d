package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.NativeHeader;
import dev.loranative.tensor.cases.Family;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every row of the table on every tier: what plain arithmetic says, and the same bytes for one and two threads. */
class OpLawsTest {

    static Stream<Arguments> tiersAndFamilies() {
        return Laws.tiers().flatMap(tier -> Arrays.stream(Family.values()).map(family -> Arguments.of(tier, family)));
    }

    @ParameterizedTest
    @MethodSource("tiersAndFamilies")
    void table(SimdTier tier, Family family) {
        Laws.checkTable(tier, family);
    }

    @Test
    void everyFamilyIsCheckedAndTimed() {
        for (Family family : Family.values()) {
            assertThat(OpCases.of(family, OpCase.Use.CHECK))
                    .as("checked " + family)
                    .isNotEmpty();
            assertThat(OpCases.of(family, OpCase.Use.TIME))
                    .as("timed " + family)
                    .isNotEmpty();
        }
    }

    /** Every function of the header that computes. */
    @Test
    void everyKernelIsCheckedAndTimed() {
        Set<String> kernels = new TreeSet<>(NativeHeader.read().functions().keySet());
        kernels.removeAll(Set.of(
                "ln_abi_version",
                "ln_context_create",
                "ln_context_destroy",
                "ln_last_error",
                "ln_unfinished",
                "ln_query",
                "ln_context_set_scratch",
                "ln_scratch_bytes"));

        for (OpCase.Use use : OpCase.Use.values()) {
            Set<String> without = new TreeSet<>(kernels);
            OpCases.of(use).forEach(row -> without.remove("ln_" + row.op()));
            assertThat(without).as("kernels that no row is there to " + use).isEmpty();
        }
    }

    /** Nothing is timed that is not checked, in the same words. */
    @Test
    void everyTimedOpIsChecked() {
        assertThat(OpCases.of(OpCase.Use.CHECK))
                .extracting(OpCase::op)
                .containsAll(
                        OpCases.of(OpCase.Use.TIME).stream().map(OpCase::op).toList());
    }
}
