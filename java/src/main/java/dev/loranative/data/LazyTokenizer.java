package dev.loranative.data;

import java.nio.file.Path;
import java.util.function.Supplier;

/** A model's tokenizer that is loaded when it is first asked for: data and prompts of ids need none. */
public final class LazyTokenizer implements Supplier<Tokenizer>, AutoCloseable {

    private final Path modelDirectory;
    private Tokenizer tokenizer;

    public LazyTokenizer(Path modelDirectory) {
        this.modelDirectory = modelDirectory;
    }

    /** @throws dev.loranative.errors.UserException when the folder has no usable tokenizer */
    @Override
    public synchronized Tokenizer get() {
        if (tokenizer == null) {
            tokenizer = Tokenizer.load(modelDirectory);
        }
        return tokenizer;
    }

    @Override
    public synchronized void close() {
        if (tokenizer != null) {
            tokenizer.close();
            tokenizer = null;
        }
    }
}
