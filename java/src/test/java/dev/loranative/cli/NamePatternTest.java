package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class NamePatternTest {

    private static LinearModule expert(int layer, int expert) {
        return new LinearModule(
                "model.layers." + layer + ".mlp.experts." + expert + ".up_proj",
                Kind.EXPERT,
                layer,
                expert,
                4,
                2,
                false,
                List.of());
    }

    private static List<String> patterns(List<LinearModule> modules) {
        return NamePattern.of(modules, NamePattern.Place::of, LinearModule::name, LinearModule::out).stream()
                .map(pattern -> pattern.text() + " " + pattern.members().size())
                .toList();
    }

    @Test
    void a_full_grid_of_layers_and_experts_is_one_pattern() {
        List<LinearModule> modules = new ArrayList<>();
        for (int layer = 0; layer < 3; layer++) {
            for (int expert = 0; expert < 8; expert++) {
                modules.add(expert(layer, expert));
            }
        }

        assertThat(patterns(modules)).containsExactly("model.layers.{0-2}.mlp.experts.{0-7}.up_proj 24");
    }

    @Test
    void a_pattern_never_names_a_module_that_is_not_there() {
        assertThat(patterns(List.of(expert(0, 0), expert(0, 1), expert(3, 1), expert(4, 0), expert(4, 1))))
                .containsExactly(
                        "model.layers.{0,4}.mlp.experts.{0,1}.up_proj 4", "model.layers.3.mlp.experts.1.up_proj 1");
    }

    @Test
    void modules_that_differ_in_more_than_their_place_stand_apart() {
        LinearModule wide = new LinearModule("model.layers.1.q", Kind.ATTENTION, 1, -1, 9, 2, false, List.of());
        LinearModule narrow = new LinearModule("model.layers.0.q", Kind.ATTENTION, 0, -1, 4, 2, false, List.of());
        LinearModule head = new LinearModule("lm_head", Kind.HEAD, -1, -1, 9, 2, false, List.of());

        assertThat(patterns(List.of(narrow, wide, head)))
                .containsExactly("model.layers.0.q 1", "model.layers.1.q 1", "lm_head 1");
    }

    @Test
    void ranges() {
        assertThat(NamePattern.ranges(new TreeSet<>(List.of(3)))).isEqualTo("3");
        assertThat(NamePattern.ranges(new TreeSet<>(List.of(0, 1)))).isEqualTo("{0,1}");
        assertThat(NamePattern.ranges(new TreeSet<>(List.of(0, 2, 5, 6, 7)))).isEqualTo("{0,2,5-7}");
    }
}
