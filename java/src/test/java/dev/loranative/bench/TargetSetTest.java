package dev.loranative.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import dev.loranative.model.ModelConfig;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TargetSetTest {

    private static final ModelConfig MOE = ModelShape.named("moe-small").config();
    private static final ModelConfig DENSE = ModelShape.named("llama-small").config();

    @Test
    void groupsOfTargetModules() {
        assertThat(TargetSet.of("router", MOE).groups()).containsExactly("router");
        assertThat(TargetSet.of("attention+experts", MOE).groups()).containsExactly("attention", "experts");
        assertThat(TargetSet.of("all", MOE).groups()).containsExactly("attention", "router", "experts");
        assertThat(TargetSet.of("all", DENSE).groups()).containsExactly("attention", "mlp");
    }

    @ParameterizedTest
    @ValueSource(strings = {"router", "attention+experts", "head", "attention+", "ALL"})
    void refusesWhatTheModelDoesNotHave(String name) {
        assertThatThrownBy(() -> TargetSet.of(name, DENSE))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("'" + name + "'")
                .hasMessageContaining("llama")
                .satisfies(e -> assertThat(((UserException) e).hint()).contains("attention, mlp"));
    }
}
