package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.config.ConfigParser;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.UserException;
import dev.loranative.lora.FullTarget.Origin;
import dev.loranative.model.ModelConfigReader;
import dev.loranative.model.ModuleTree;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * {@code lora/peft-random-matches.jsonl}, made by {@code tools/parity/make_matches.py}: what PEFT 0.21.0 trains of tiny dense
 * models for random configurations. We train the same, but for what the script's first lines list.
 */
class PeftRandomMatchingTest {

    private static final JsonMapper JSON = JsonMapper.builder().build();

    @TempDir
    Path folder;

    private final Map<String, ModuleTree> trees = new HashMap<>();

    @Test
    void theSameAsPeft() throws IOException {
        List<String> different = new ArrayList<>();
        int compared = 0;
        for (String line : lines()) {
            JsonNode golden = JSON.readTree(line);
            if (golden.path("wider").asBoolean(false)) {
                continue;
            }
            boolean error = golden.has("error") || !golden.get("stricter").isEmpty();
            String problem;
            try {
                Targets targets = match(golden);
                problem = error ? "accepted" : compare(golden, targets);
                compared += error ? 0 : 1;
            } catch (UserException e) {
                problem = error ? "" : e.getMessage();
                assertThat(e.hint()).isNotBlank();
            }
            if (!problem.isEmpty()) {
                different.add(problem + " <- " + line);
            }
        }
        assertThat(different).isEmpty();
        assertThat(compared).isGreaterThan(200);
    }

    private static List<String> lines() throws IOException {
        String other = System.getProperty("peft.matches");
        if (other != null) {
            return Files.readAllLines(Path.of(other));
        }
        try (InputStream stream = PeftRandomMatchingTest.class.getResourceAsStream("/lora/peft-random-matches.jsonl")) {
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .toList();
        }
    }

    private String compare(JsonNode golden, Targets targets) {
        List<String> expected = golden.get("targets")
                .valueStream()
                .map(target -> target.get(0).stringValue() + " " + target.get(1).intValue() + " "
                        + target.get(2).doubleValue())
                .toList();
        List<String> found = targets.list().stream()
                .map(target -> target.module().name() + " " + target.r() + " " + target.alpha())
                .toList();
        if (!expected.equals(found)) {
            return "targets " + found;
        }
        for (int i = 0; i < found.size(); i++) {
            assertThat(targets.list().get(i).scaling())
                    .isCloseTo(golden.get("targets").get(i).get(3).doubleValue(), within(1e-12));
        }
        if (!texts(golden.get("full")).equals(names(targets, Origin.MODULES_TO_SAVE))) {
            return "full " + names(targets, Origin.MODULES_TO_SAVE);
        }
        if (!texts(golden.get("biases")).equals(names(targets, Origin.BIAS))) {
            return "biases " + names(targets, Origin.BIAS);
        }
        Map<String, Integer> rows = targets.tokens().stream()
                .collect(Collectors.toMap(
                        TokenTarget::module, token -> token.indices().size()));
        Map<String, Integer> peft = golden.get("tokens")
                .propertyStream()
                .collect(Collectors.toMap(
                        Map.Entry::getKey, entry -> entry.getValue().intValue()));
        return rows.equals(peft) ? "" : "tokens " + rows;
    }

    private static Set<String> names(Targets targets, Origin origin) {
        return targets.full().stream()
                .filter(target -> target.origin() == origin)
                .map(FullTarget::name)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static Set<String> texts(JsonNode array) {
        return array.valueStream().map(JsonNode::stringValue).collect(Collectors.toCollection(TreeSet::new));
    }

    private Targets match(JsonNode golden) throws IOException {
        @SuppressWarnings("unchecked") // keys of JSON are texts
        Map<String, Object> config = JSON.convertValue(golden.get("config"), Map.class);
        return TargetMatcher.match(
                LoraConfig.from(new ConfigParser(LoraKeys.ALL).parse(config, "test")),
                tree(golden.get("family").stringValue(), golden.get("layers").intValue()));
    }

    private ModuleTree tree(String family, int layers) throws IOException {
        ModuleTree known = trees.get(family + layers);
        if (known == null) {
            Files.writeString(folder.resolve("config.json"), """
                    {"model_type": "%s", "num_hidden_layers": %d, "vocab_size": 64, "hidden_size": 32,
                     "intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
                     "tie_word_embeddings": false}
                    """.formatted(family, layers));
            known = ModuleTree.of(ModelConfigReader.read(folder));
            trees.put(family + layers, known);
        }
        return known;
    }
}
