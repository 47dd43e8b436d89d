package dev.loranative.train;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** {@code metrics.jsonl}: one line per optimizer step, and one per evaluation; a line is written as a whole. */
final class MetricsLog implements AutoCloseable {

    private static final JsonMapper JSON = JsonMapper.shared();

    private final Path file;
    private final FileChannel channel;

    private MetricsLog(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /** Begins a new file. */
    static MetricsLog create(Path file) {
        return open(file, StandardOpenOption.CREATE_NEW);
    }

    /** Goes on after {@code step}: later lines, written by a run that was cut off, are dropped first. */
    static MetricsLog continueAfter(Path file, int step) {
        if (!Files.exists(file)) {
            return create(file);
        }
        AtomicFiles.writeString(file, String.join("", linesUpTo(file, step)));
        return open(file, StandardOpenOption.APPEND);
    }

    private static MetricsLog open(Path file, StandardOpenOption how) {
        try {
            return new MetricsLog(file, FileChannel.open(file, StandardOpenOption.WRITE, how));
        } catch (IOException e) {
            throw cannotWrite(file, e);
        }
    }

    private static List<String> linesUpTo(Path file, int step) {
        List<String> kept = new ArrayList<>();
        try {
            for (String line : Files.readAllLines(file)) {
                JsonNode parsed = JSON.readTree(line);
                if (parsed.path("step").asInt(Integer.MAX_VALUE) <= step) {
                    kept.add(line + "\n");
                }
            }
        } catch (JacksonException e) {
            // Only the last line can be cut short, by a crash while it was written.
            return kept;
        } catch (IOException e) {
            throw UserException.badInput(
                    "cannot read " + file + ": " + e.getMessage(), "remove it or choose another output_dir");
        }
        return kept;
    }

    void write(StepMetrics metrics) {
        ObjectNode line = JSON.createObjectNode()
                .put("step", metrics.step())
                .put("epoch", metrics.epoch())
                .put("loss", metrics.loss());
        if (metrics.hasAuxLoss()) {
            line.put("aux_loss", metrics.auxLoss());
        }
        line.put("grad_norm", metrics.gradNorm())
                .put("learning_rate", metrics.learningRate())
                .put("tokens", metrics.tokens())
                .put("tokens_per_second", Math.round(metrics.tokensPerSecond() * 10) / 10.0)
                .put("step_ms", Math.round(metrics.stepMillis() * 1000) / 1000.0)
                .put("memory_bytes", metrics.memoryBytes());
        append(line);
    }

    void writeEvaluation(int step, double epoch, double loss) {
        append(JSON.createObjectNode().put("step", step).put("epoch", epoch).put("eval_loss", loss));
    }

    private void append(ObjectNode line) {
        try {
            channel.write(StandardCharsets.UTF_8.encode(JSON.writeValueAsString(line) + "\n"));
        } catch (IOException e) {
            throw cannotWrite(file, e);
        }
    }

    private static UserException cannotWrite(Path file, IOException e) {
        return UserException.failed(
                "cannot write " + file + ": " + e.getMessage(), "check that output_dir is writable and has room");
    }

    @Override
    public void close() {
        try {
            channel.force(true);
            channel.close();
        } catch (IOException e) {
            throw cannotWrite(file, e);
        }
    }
}
