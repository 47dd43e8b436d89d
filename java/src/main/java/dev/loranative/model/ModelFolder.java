package dev.loranative.model;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/** What lies in a model's folder beside the weights: tokenizer, chat template, generation settings, model card. */
final class ModelFolder {

    /** Weights in this or another format, which the new ones replace, and what is written anew. */
    private static final List<String> REPLACED = List.of(
            ".safetensors",
            ".safetensors.index.json",
            ".bin",
            ".bin.index.json",
            ".pt",
            ".pth",
            ".gguf",
            ".h5",
            ".msgpack",
            ".onnx");

    private ModelFolder() {}

    /**
     * Copies the files that belong to a model but are no weights, without config.json.
     *
     * @throws UserException if one cannot be read or written
     */
    static void copyOtherFiles(Path from, Path to) {
        try (Stream<Path> children = Files.list(from)) {
            for (Path file : children.filter(ModelFolder::isCopied).toList()) {
                Files.copy(file, to.resolve(file.getFileName().toString()));
            }
        } catch (IOException e) {
            throw new UserException(
                    "cannot copy the files of " + from + " to " + to + ": " + e.getMessage(),
                    "check the folders' permissions and the free space of the disk",
                    UserException.FAILED,
                    e);
        }
    }

    private static boolean isCopied(Path file) {
        String name = file.getFileName().toString();
        String lower = name.toLowerCase(Locale.ROOT);
        return Files.isRegularFile(file)
                && !name.startsWith(".")
                && !name.equals("config.json")
                && REPLACED.stream().noneMatch(lower::endsWith);
    }
}
