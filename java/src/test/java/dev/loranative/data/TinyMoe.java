package dev.loranative.data;

import java.net.URISyntaxException;
import java.nio.file.Path;

/** The example model's tokenizer files among the test resources. */
final class TinyMoe {

    static final int VOCABULARY = 1024;

    private TinyMoe() {}

    static Path directory() {
        return resource("/tokenizer/tiny-moe/tokenizer.json").getParent();
    }

    static Path resource(String name) {
        try {
            return Path.of(TinyMoe.class.getResource(name).toURI());
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }
}
