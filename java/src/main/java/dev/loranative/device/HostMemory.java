package dev.loranative.device;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;

/** The memory of this machine. */
public final class HostMemory {

    private HostMemory() {}

    /** What new work can take without swapping; empty where the system does not tell. */
    public static OptionalLong availableBytes() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
                if (line.startsWith("MemAvailable:")) {
                    return OptionalLong.of(Long.parseLong(line.replaceAll("\\D+", "")) * 1024);
                }
            }
        } catch (IOException e) {
            // Not Linux: nothing is known, so nothing is refused.
        }
        return OptionalLong.empty();
    }
}
