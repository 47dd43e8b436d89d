package dev.loranative.benchmarks;

import dev.loranative.bench.ModelShape;
import dev.loranative.bench.RandomData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Writes a model of a shape with random weights, and data for it: what both sides of the peer comparison train. */
public final class MakeModel {

    private MakeModel() {}

    /** {@code SHAPE FOLDER SAMPLES LENGTH} */
    public static void main(String[] args) throws IOException {
        if (args.length != 4) {
            System.err.println("usage: MakeModel SHAPE FOLDER SAMPLES LENGTH");
            System.exit(2);
        }
        Path folder = Files.createDirectories(Path.of(args[1]));
        ModelShape shape = ModelShape.named(args[0]);
        if (!Files.exists(folder.resolve("model.safetensors"))) {
            shape.write(folder);
        }
        int samples = Integer.parseInt(args[2]);
        int length = Integer.parseInt(args[3]);
        RandomData.write(
                folder.resolve("data-" + length + ".jsonl"), shape.config().vocabSize(), samples, length);
    }
}
