package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.config.ConfigParser;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.UserException;
import java.io.InputStream;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.json.JsonMapper;

/**
 * {@code lora/peft-matches.json}: what PEFT 0.21.0 made of each configuration on a llama of 2 or 3 layers: the adapted
 * modules with rank, alpha and scaling, or the error.
 */
class PeftMatchingTest {

    /** Entries that match nothing: PEFT says nothing, we refuse. */
    private static final Set<String> STRICTER = Set.of("xxx", ".v_proj");

    record Golden(int layers, Map<String, Object> config, List<Module> targets, String error) {
        boolean isStricter() {
            return config.get("target_modules") instanceof List<?> names
                    && names.stream().anyMatch(STRICTER::contains);
        }
    }

    record Module(String name, int r, double alpha, double scaling) {}

    static List<Golden> goldens() throws Exception {
        try (InputStream stream = PeftMatchingTest.class.getResourceAsStream("/lora/peft-matches.json")) {
            return List.of(JsonMapper.builder().build().readValue(stream, Golden[].class));
        }
    }

    @ParameterizedTest
    @MethodSource("goldens")
    void theSameModulesAsPeft(Golden golden) {
        if (golden.error() != null || golden.isStricter()) {
            assertThatThrownBy(() -> match(golden))
                    .isInstanceOfSatisfying(
                            UserException.class, e -> assertThat(e.hint()).isNotBlank());
            return;
        }
        List<Target> targets = match(golden).list();
        assertThat(targets)
                .extracting(target -> target.module().name())
                .containsExactlyElementsOf(
                        golden.targets().stream().map(Module::name).toList());
        for (int i = 0; i < targets.size(); i++) {
            assertThat(targets.get(i).r()).isEqualTo(golden.targets().get(i).r());
            assertThat(targets.get(i).alpha()).isEqualTo(golden.targets().get(i).alpha());
            assertThat(targets.get(i).scaling())
                    .isCloseTo(golden.targets().get(i).scaling(), within(1e-12));
        }
    }

    @Test
    void theFileHasMatchesAndErrors() throws Exception {
        assertThat(goldens()).hasSizeGreaterThan(60);
        assertThat(goldens()).anyMatch(golden -> golden.error() != null);
        assertThat(goldens()).anyMatch(golden -> golden.error() == null);
    }

    private static Targets match(Golden golden) {
        LoraConfig config = LoraConfig.from(new ConfigParser(LoraKeys.ALL).parse(golden.config(), "test"));
        return TargetMatcher.match(config, TestTrees.llama(golden.layers()));
    }
}
