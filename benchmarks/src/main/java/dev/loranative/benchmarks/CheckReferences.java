package dev.loranative.benchmarks;

import dev.loranative.bench.TemporaryFolder;
import dev.loranative.device.DeviceFailure;
import dev.loranative.errors.UserException;
import dev.loranative.train.ReferenceCase;
import dev.loranative.train.RepeatedRun;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** Repeats runs of transformers + PEFT on a device and says how far it is from each. */
public final class CheckReferences {

    static final String USAGE = """
            usage: CheckReferences --references DIR [--device cuda:0] [--rows all|few] [--except RUN]…
              --references  java/src/test/resources/reference
              --rows        few: one run
            """;

    private static final List<String> NAMES = List.of("--references", "--device", "--rows", "--except");

    /** First, and in both precisions: dense and with experts, in 16 bits and in 4. */
    private static final List<String> FIRST =
            List.of("llama-qv", "llama-all-linear-nf4", "qwen3moe-router-aux", "qwen3moe-everything-nf4");

    /** Of the loss, the gradient's norm and the adapter. */
    private enum Bounds {
        FLOAT32(1e-4, 1e-3, 1e-3),
        BFLOAT16(2e-2, 1e-1, 1e-1);

        private final double loss;
        private final double gradNorm;
        private final double adapter;

        Bounds(double loss, double gradNorm, double adapter) {
            this.loss = loss;
            this.gradNorm = gradNorm;
            this.adapter = adapter;
        }

        private String precision() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private record Planned(ReferenceCase reference, Bounds bounds) {

        @Override
        public String toString() {
            return reference + " " + bounds.precision();
        }
    }

    private final CheckWords words;
    private int right;
    private int wrong;

    private CheckReferences(CheckWords words) {
        this.words = words;
    }

    public static void main(String[] args) {
        try {
            System.exit(new CheckReferences(CheckWords.parse(args, NAMES)).run());
        } catch (IllegalArgumentException e) {
            System.err.println("error: " + e.getMessage() + "\n" + USAGE);
            System.exit(2);
        }
    }

    /** @return exit code */
    private int run() {
        Set<String> left = new HashSet<>(words.all("--except"));
        List<String> done = new ArrayList<>();
        for (Planned planned : plan()) {
            if (left.contains(planned.toString())) {
                continue;
            }
            done.add("--except");
            done.add(planned.toString());
            if (!repeat(planned)) {
                summary();
                System.out.println("going on in another process");
                words.goOn(CheckReferences.class, done.toArray(String[]::new));
                return 1;
            }
        }
        summary();
        return wrong == 0 && right > 0 ? 0 : 1;
    }

    private void summary() {
        System.out.println("reference runs: " + right + " right, " + wrong + " wrong");
    }

    private List<Planned> plan() {
        String root =
                words.last("--references").orElseThrow(() -> new IllegalArgumentException("--references is missing"));
        List<ReferenceCase> all = ReferenceCase.all(Path.of(root));
        List<Planned> plan = new ArrayList<>();
        for (Bounds bounds : Bounds.values()) {
            FIRST.forEach(name -> all.stream()
                    .filter(found -> found.name().equals(name))
                    .forEach(found -> plan.add(new Planned(found, bounds))));
        }
        all.stream()
                .filter(found -> !FIRST.contains(found.name()))
                .forEach(found -> plan.add(new Planned(found, Bounds.FLOAT32)));
        return words.last("--rows", "all").equals("few") ? plan.subList(0, 1) : plan;
    }

    /** @return whether the device still answers */
    private boolean repeat(Planned planned) {
        long start = System.nanoTime();
        Bounds bounds = planned.bounds();
        try (TemporaryFolder folder = TemporaryFolder.create()) {
            RepeatedRun run = RepeatedRun.of(
                    planned.reference(),
                    folder.path().resolve("out"),
                    "--device",
                    words.last("--device", "cuda:0"),
                    "--precision",
                    bounds.precision());
            boolean within = run.isWithin(bounds.loss, bounds.gradNorm, bounds.adapter);
            right += within ? 1 : 0;
            wrong += within ? 0 : 1;
            System.out.printf(
                    Locale.ROOT,
                    "%-6s %-36s loss %.1e, gradient %.1e, adapter %.1e, %.1f s%n",
                    within ? "right" : "WRONG",
                    planned,
                    run.loss(),
                    run.gradNorm(),
                    run.adapter(),
                    (System.nanoTime() - start) / 1e9);
            return true;
        } catch (DeviceFailure e) {
            wrong++;
            System.out.println("FAILED " + planned + ": " + e.getMessage());
            return false;
        } catch (UserException | IllegalStateException e) {
            wrong++;
            System.out.println("WRONG  " + planned + ": " + e.getMessage());
            return true;
        }
    }
}
