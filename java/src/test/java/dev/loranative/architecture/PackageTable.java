package dev.loranative.architecture;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The package table of docs/architecture.md: which package may import which, and who may name what from outside. */
final class PackageTable {

    /** From the leaves to the root: a package may import only what stands above it. */
    static final Map<String, Set<String>> MAY_IMPORT = rows(
            row("errors"),
            row("random"),
            row("boot"),
            row("config", "errors"),
            row("checkpoint", "errors"),
            row("report", "checkpoint", "errors"),
            row("ffi", "errors"),
            row("device", "ffi", "errors"),
            row("tensor", "device", "ffi", "errors"),
            row("quant", "tensor", "device", "ffi", "checkpoint", "errors"),
            row("nn", "quant", "tensor", "device", "errors"),
            row("model", "nn", "quant", "tensor", "device", "checkpoint", "config", "errors"),
            row("lora", "model", "nn", "tensor", "device", "checkpoint", "config", "random", "errors"),
            row("optim", "nn", "tensor", "device", "config", "errors"),
            row("data", "config", "random", "errors"),
            row("generate", "data", "model", "nn", "tensor", "device", "config", "random", "errors"),
            row(
                    "train",
                    "report",
                    "generate",
                    "data",
                    "optim",
                    "lora",
                    "model",
                    "nn",
                    "tensor",
                    "device",
                    "checkpoint",
                    "config",
                    "random",
                    "errors"),
            row("bench", "train", "model", "tensor", "device", "config", "errors"),
            row(
                    "cli",
                    "bench",
                    "train",
                    "report",
                    "generate",
                    "data",
                    "optim",
                    "lora",
                    "model",
                    "nn",
                    "tensor",
                    "device",
                    "ffi",
                    "checkpoint",
                    "config",
                    "random",
                    "errors"));

    /** Names from outside the project, and the only packages that may use them. */
    static final Confined LINKER = new Confined("java\\.lang\\.foreign\\.(Linker|SymbolLookup)(\\$.*)?", Set.of("ffi"));

    static final Confined SEGMENTS = new Confined(
            "java\\.lang\\.foreign\\.MemorySegment(\\$.*)?",
            Set.of("ffi", "device", "tensor", "quant", "checkpoint", "model"));

    static final List<Confined> CONFINED = List.of(
            LINKER,
            SEGMENTS,
            new Confined("jcuda\\..*", Set.of("device.cuda")),
            new Confined("ai\\.djl\\..*", Set.of("data")),
            new Confined("picocli\\..*", Set.of("cli")));

    private PackageTable() {}

    /** Classes whose full name matches the pattern may be used by the packages (and what lies below them) alone. */
    record Confined(String classes, Set<String> packages) {}

    private static Map.Entry<String, Set<String>> row(String name, String... allowed) {
        return Map.entry(name, Set.of(allowed));
    }

    @SafeVarargs
    private static Map<String, Set<String>> rows(Map.Entry<String, Set<String>>... rows) {
        Map<String, Set<String>> table = new LinkedHashMap<>();
        for (Map.Entry<String, Set<String>> row : rows) {
            table.put(row.getKey(), row.getValue());
        }
        return table;
    }
}
