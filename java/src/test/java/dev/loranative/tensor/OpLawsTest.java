package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.device.SimdTier;
import dev.loranative.tensor.cases.Family;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import java.util.Arrays;
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

    /** Nothing is timed that is not checked, in the same words. */
    @Test
    void everyTimedOpIsChecked() {
        assertThat(OpCases.of(OpCase.Use.CHECK))
                .extracting(OpCase::op)
                .containsAll(
                        OpCases.of(OpCase.Use.TIME).stream().map(OpCase::op).toList());
    }
}
