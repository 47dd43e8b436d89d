package dev.loranative.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import org.junit.jupiter.api.Test;

/** Configuration files that cannot be read, or would be read as something else. */
class BrokenYamlTest extends ParsedConfig {

    @Test
    void brokenFilesAreRefused() throws Exception {
        assertRefused(
                "no such configuration file",
                "--config",
                folder.resolve("none.yaml").toString());
        assertRefused("folder", "--config", folder.toString());
        Files.writeString(yaml, "r: 4\nlora_alpha: [1\n");
        assertRefused("run.yaml", "--config", yaml.toString());
        Files.writeString(yaml, "- r\n");
        assertRefused("key: value", "--config", yaml.toString());
        Files.writeString(yaml, "r: 4\nr: 5\n");
        assertRefused("run.yaml", "--config", yaml.toString());
        Files.writeString(yaml, "data: a\ndataset: b\n");
        assertRefused("dataset", "--config", yaml.toString());
        Files.write(yaml, new byte[] {'r', ':', (byte) 0xff, (byte) 0xfe});
        assertRefused("UTF-8", "--config", yaml.toString());
        Files.writeString(yaml, "");
        assertThat(parse("--config", yaml.toString()).lora().r()).isEqualTo(8);
    }

    /** What YAML would leave out, or take for a text, without a word. */
    @Test
    void secondDocumentsAndReferencesAreRefused() throws Exception {
        Files.writeString(yaml, "r: 4\n---\nr: 5\n");
        assertRefused("run.yaml:3 begins a second document", "--config", yaml.toString());
        Files.writeString(yaml, "r: &rank 4\noutput_dir: *rank\n");
        assertRefused("run.yaml:2: '*rank' refers to another value", "--config", yaml.toString());
        Files.writeString(yaml, "r: 4\ntarget_modules: [q_proj, *rank]\n");
        assertRefused("run.yaml:2: '*rank'", "--config", yaml.toString());
        Files.writeString(yaml, "r: 4\nrank_pattern: {q_proj: *rank}\n");
        assertRefused("run.yaml:2: '*rank'", "--config", yaml.toString());
        Files.writeString(yaml, "---\nrank_pattern: {q_proj: 3}\nlayers_to_transform: [0, 1]\n...\n");
        assertThat(parse("--config", yaml.toString(), "--target-modules", "q_proj")
                        .lora()
                        .rankPattern())
                .containsEntry("q_proj", 3);
    }

    @Test
    void brokenYamlIsNamedWithTheLineAndTheReason() throws Exception {
        Files.writeString(yaml, "r: 4\nlora_alpha: 8\n  seed: 1\n");
        assertRefused("run.yaml:3 is not valid YAML: ", "--config", yaml.toString());
        Files.writeString(yaml, "r: 4\n\tseed: 1\n");
        assertRefused("that cannot start any token", "--config", yaml.toString());
    }
}
