package dev.loranative.train;

import dev.loranative.errors.UserException;
import dev.loranative.lora.AdapterFiles;
import java.io.IOException;
import java.nio.file.Files;
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

    /** Refuses a folder that holds another run, or that cannot be one; writes nothing. */
    void requireFree() {
        if (Files.exists(path) && !Files.isDirectory(path)) {
            throw UserException.badInput("output_dir '" + path + "' is a file", "choose another --output");
        }
        for (String name : List.of(METRICS, CONFIG, AdapterFiles.TENSORS)) {
            if (Files.exists(path.resolve(name))) {
                throw holdsRun(name);
            }
        }
        new Checkpoints(path).newest().ifPresent(checkpoint -> {
            throw holdsRun(checkpoint.getFileName().toString());
        });
    }

    private UserException holdsRun(String found) {
        return UserException.badInput(
                "output_dir '" + path + "' already holds a run (" + found + ")",
                "continue it with --resume-from-checkpoint true, or choose another --output");
    }

    void create() {
        try {
            Files.createDirectories(path);
        } catch (IOException e) {
            throw UserException.badInput(
                    "cannot create output_dir '" + path + "': " + e.getMessage(), "choose another --output");
        }
    }
}
