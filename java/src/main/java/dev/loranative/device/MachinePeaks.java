package dev.loranative.device;

import dev.loranative.errors.UserException;
import dev.loranative.ffi.NativeProgram;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What this machine can do at best, measured by a native program of independent multiply-adds and of streams through
 * memory: what throughputs are compared with.
 *
 * @param simd tier of the probes
 * @param flopsPerSecond multiply-adds from registers, each two operations
 * @param readBytesPerSecond one stream read
 * @param copyBytesPerSecond one read, one written; what the processor reads to write is not counted
 * @param triadBytesPerSecond two read, one written (STREAM's triad)
 */
public record MachinePeaks(
        SimdTier simd,
        int threads,
        double flopsPerSecond,
        double readBytesPerSecond,
        double copyBytesPerSecond,
        double triadBytesPerSecond) {

    private static final String PROGRAM = "lora_native_peaks";

    /** The most that memory gave, whatever the direction. */
    public double bytesPerSecond() {
        return Math.max(readBytesPerSecond, Math.max(copyBytesPerSecond, triadBytesPerSecond));
    }

    /**
     * @param simd tier of the kernels that will be compared; the reference tier, which is plain code, is compared with
     *     generic vectors
     * @param seconds for each of the four measurements
     * @throws UserException if the program cannot be run here
     */
    public static MachinePeaks measure(SimdTier simd, int threads, double seconds) {
        List<String> command = new ArrayList<>();
        command.add(NativeProgram.find(PROGRAM).toString());
        command.addAll(List.of("--threads", "" + threads, "--seconds", String.format(Locale.ROOT, "%.3f", seconds)));
        if (simd != SimdTier.AUTO) {
            SimdTier compared = simd == SimdTier.REFERENCE ? SimdTier.GENERIC : simd;
            command.addAll(List.of("--simd", compared.name().toLowerCase(Locale.ROOT)));
        }
        try {
            Process process = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            int status = process.waitFor();
            if (status != 0) {
                throw UserException.failed(
                        "measuring the machine's peaks ended with status " + status + ": " + String.join(" ", command),
                        "look at its message above");
            }
            return parse(output);
        } catch (IOException | JacksonException e) {
            throw UserException.failed(
                    "cannot measure the machine's peaks: " + e.getMessage(),
                    "check that programs may run from " + command.getFirst());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw UserException.failed("interrupted while measuring the machine's peaks", "run it again");
        }
    }

    static MachinePeaks parse(String json) {
        JsonNode line = JsonMapper.shared().readTree(json);
        return new MachinePeaks(
                SimdTier.valueOf(line.required("simd").asString().toUpperCase(Locale.ROOT)),
                line.required("threads").asInt(),
                line.required("flops_per_second").asDouble(),
                line.required("read_bytes_per_second").asDouble(),
                line.required("copy_bytes_per_second").asDouble(),
                line.required("triad_bytes_per_second").asDouble());
    }
}
