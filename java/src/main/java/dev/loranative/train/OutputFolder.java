package dev.loranative.train;

import dev.loranative.errors.UserException;
import dev.loranative.lora.AdapterFiles;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.List;

/** The folder that a run fills. */
record OutputFolder(Path path) {

    static final String METRICS = "metrics.jsonl";
    static final String CONFIG = "train_config.yaml";
    static final String REPORT = "report.html";

    Path metrics() {
        return path.resolve(METRICS);
    }

    Path config() {
        return path.resolve(CONFIG);
    }

    Path report() {
        return path.resolve(REPORT);
    }

    /** Refuses a folder that holds another run or files that a run would replace; writes nothing. */
    void requireFree() {
        if (Files.exists(path) && !Files.isDirectory(path)) {
            throw UserException.badInput("output_dir '" + path + "' is a file", "choose another --output");
        }
        requireWritable();
        new Checkpoints(path).newest().ifPresent(checkpoint -> {
            throw holdsRun(
                    checkpoint.getFileName().toString(),
                    "continue it with --resume-from-checkpoint true, or choose another --output");
        });
        for (String name : List.of(METRICS, CONFIG, AdapterFiles.TENSORS)) {
            if (Files.exists(path.resolve(name))) {
                throw holdsRun(
                        name, "choose another --output, or remove the folder: it has no checkpoint to continue from");
            }
        }
        for (String name : List.of(AdapterFiles.CONFIG, AdapterFiles.CARD, REPORT)) {
            if (Files.isRegularFile(path.resolve(name))) {
                throw UserException.badInput(
                        "output_dir '" + path + "' has a file " + name + ", which the run would replace",
                        "choose another --output, best a folder of its own");
            }
        }
    }

    /** The folder, or the nearest one above it that exists. */
    private void requireWritable() {
        Path existing = path.toAbsolutePath();
        while (existing != null && !Files.exists(existing, LinkOption.NOFOLLOW_LINKS)) {
            existing = existing.getParent();
        }
        if (existing == null || !Files.isDirectory(existing)) {
            throw UserException.badInput(
                    "output_dir '" + path + "' cannot be created: '" + existing + "' is not a folder",
                    "choose another --output");
        }
        if (!Files.isWritable(existing)) {
            throw UserException.badInput(
                    "output_dir '" + path + "' cannot be written: '" + existing + "' is read-only for this user",
                    "choose another --output, or change the folder's permissions");
        }
    }

    /** Whether this is the folder, by whatever path. */
    boolean is(Path other) {
        try {
            return Files.exists(path) && other != null && Files.exists(other) && Files.isSameFile(path, other);
        } catch (IOException e) {
            return false;
        }
    }

    private UserException holdsRun(String found, String hint) {
        return UserException.badInput("output_dir '" + path + "' already holds a run (" + found + ")", hint);
    }

    void create() {
        try {
            Files.createDirectories(path);
        } catch (IOException e) {
            // The exception's own message is often nothing but the path.
            String reason = e instanceof FileSystemException system && system.getReason() != null
                    ? system.getReason()
                    : e.getClass().getSimpleName();
            throw UserException.badInput(
                    "cannot create output_dir '" + path + "': " + reason, "choose another --output");
        }
    }
}
