package dev.loranative.train;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import tools.jackson.core.JacksonException;
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
        try {
            return new MetricsLog(
                    file, FileChannel.open(file, StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW));
        } catch (IOException e) {
            throw cannotWrite(file, e);
        }
    }

    /** Goes on after {@code step}: later lines, written by a run that was cut off, are dropped first. */
    static MetricsLog continueAfter(Path file, int step) {
        if (!Files.exists(file)) {
            return create(file);
        }
        try {
            long kept = bytesUpTo(file, step);
            FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE);
            channel.truncate(kept).position(kept);
            return new MetricsLog(file, channel);
        } catch (IOException e) {
            throw UserException.badInput(
                    "cannot continue " + file + ": " + e.getMessage(), "remove it or choose another output_dir");
        }
    }

    /** Length of the lines of the first {@code step} steps. */
    private static long bytesUpTo(Path file, int step) throws IOException {
        long bytes = 0;
        try {
            for (String line : Files.readString(file).split("(?<=\n)")) {
                boolean whole = line.endsWith("\n");
                if (!whole || JSON.readTree(line).path("step").asInt(Integer.MAX_VALUE) > step) {
                    break;
                }
                bytes += line.getBytes(StandardCharsets.UTF_8).length;
            }
        } catch (JacksonException e) {
            // Only the last line can be cut short, by a crash while it was written.
            return bytes;
        }
        return bytes;
    }

    void write(StepMetrics metrics) {
        ObjectNode line = JSON.createObjectNode()
                .put("step", metrics.step())
                .put("epoch", metrics.epoch())
                .put("loss", metrics.loss());
        if (metrics.hasAuxLoss()) {
            line.put("aux_loss", metrics.auxLoss());
        }
        if (metrics.hasZLoss()) {
            line.put("z_loss", metrics.zLoss());
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
