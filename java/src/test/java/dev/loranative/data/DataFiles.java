package dev.loranative.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;

/** Data files that a test writes and reads with the bundled model's tokenizer. */
abstract class DataFiles {

    static final int MAXIMUM = 32;
    static final SampleOptions OPTIONS = new SampleOptions(OptionalInt.empty(), MAXIMUM, TinyMoe.VOCABULARY, true);
    static final Supplier<Tokenizer> NO_TOKENIZER = () -> {
        throw new AssertionError("ids need no tokenizer");
    };

    static Tokenizer tokenizer;

    @TempDir
    Path directory;

    @BeforeAll
    static void load() {
        tokenizer = Tokenizer.load(TinyMoe.directory());
    }

    @AfterAll
    static void close() {
        tokenizer.close();
    }

    DataSet load(String name, String content, SampleOptions options) throws IOException {
        return DataSet.load(List.of(write(name, content)), () -> tokenizer, options);
    }

    Path write(String name, String content) throws IOException {
        return Files.writeString(directory.resolve(name), content);
    }
}
