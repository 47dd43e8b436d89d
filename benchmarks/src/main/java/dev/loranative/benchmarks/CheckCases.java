package dev.loranative.benchmarks;

import dev.loranative.device.DeviceFailure;
import dev.loranative.device.Devices;
import dev.loranative.errors.UserException;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.cases.Family;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import dev.loranative.tensor.cases.OpRun;
import dev.loranative.tensor.cases.Output;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;

/**
 * Runs rows of the table of op cases on a device and compares what they compute with plain double arithmetic, which the
 * processors do meanwhile. Says every row that is wrong, and goes on behind it.
 */
public final class CheckCases {

    static final String USAGE = """
            usage: CheckCases [--device cuda:0] [--precision float32] [--gemm own] [--use check|time] [--rows all|few]
                              [--families PRODUCTS,…] [--except NAME]…
              --precision   bfloat16: each output within 2 % of what is expected, in its norm
              --use         rows that are there to be checked, at the edges of tiles, or to be timed, at shapes of models;
                            these within 1e-5 in their norm: single elements of long sums are near 0 by chance
              --rows        few: the first of each op
            """;

    private static final List<String> NAMES =
            List.of("--device", "--precision", "--gemm", "--use", "--rows", "--families", "--except");

    /** Each costs a process and the rows before it again; then an op is left alone. */
    private static final long MOST_FAILURES = 2;

    /** Operands rounded to 8 bits of mantissa, products added up in float32, a few of them in a chain. */
    private static final double OF_NORM_IN_BFLOAT16 = 0.02;

    /** Sums of thousands of products in float32, in any order. */
    private static final double OF_NORM_OF_LONG_SUMS = 1e-5;

    private final CheckWords words;
    private final OpCase.Use use;

    /** What an output may be off, of its norm; empty: each element is held to the row's own tolerance. */
    private final OptionalDouble ofNorm;

    private int right;
    private int wrong;

    private CheckCases(CheckWords words) {
        this.words = words;
        this.use = OpCase.Use.valueOf(words.last("--use", "check").toUpperCase(Locale.ROOT));
        this.ofNorm = words.last("--precision", "float32").equals("bfloat16")
                ? OptionalDouble.of(OF_NORM_IN_BFLOAT16)
                : use == OpCase.Use.TIME ? OptionalDouble.of(OF_NORM_OF_LONG_SUMS) : OptionalDouble.empty();
    }

    public static void main(String[] args) {
        try {
            System.exit(new CheckCases(CheckWords.parse(args, NAMES)).run());
        } catch (IllegalArgumentException e) {
            System.err.println("error: " + e.getMessage() + "\n" + USAGE);
        } catch (UserException e) {
            System.err.println("error: " + e.getMessage() + "\nhint: " + e.hint());
        }
        System.exit(2);
    }

    /** @return exit code */
    private int run() {
        List<Family> families = new ArrayList<>(words.last("--families").stream()
                .flatMap(list -> List.of(list.split(",")).stream())
                .map(Family::valueOf)
                .toList());
        if (families.isEmpty()) {
            families.addAll(List.of(Family.values()));
        }
        while (!families.isEmpty()) {
            Optional<OpCase> failed = check(families.getFirst());
            if (failed.isPresent()) {
                summary();
                String rest =
                        String.join(",", families.stream().map(Family::name).toList());
                System.out.println("going on in another process");
                words.goOn(
                        CheckCases.class,
                        "--families",
                        rest,
                        "--except",
                        failed.get().name());
                return 1;
            }
            families.removeFirst();
        }
        summary();
        return wrong == 0 && right > 0 ? 0 : 1;
    }

    private void summary() {
        System.out.println("cases: " + right + " right, " + wrong + " wrong");
    }

    private record Pending(OpCase row, Future<List<Output>> outputs) {}

    /** @return the row at which the device failed, after which it answers nothing */
    private Optional<OpCase> check(Family family) {
        long start = System.nanoTime();
        int rightBefore = right;
        int wrongBefore = wrong;
        OpCase current = null;
        try (Bench bench = new Bench(Devices.open(
                        words.last("--device", "cuda:0"),
                        0,
                        words.last("--precision", "float32"),
                        words.last("--gemm", "own")));
                ExecutorService pool =
                        Executors.newFixedThreadPool(Runtime.getRuntime().availableProcessors())) {
            List<Pending> pending = new ArrayList<>();
            for (OpCase row : rows(family)) {
                current = row;
                OpRun run = row.on(bench);
                run.run();
                bench.device().synchronise();
                pending.add(new Pending(row, pool.submit(run::outputs)));
            }
            for (Pending one : pending) {
                current = one.row();
                judge(one, bench);
            }
        } catch (DeviceFailure e) {
            wrong++;
            System.out.println("FAILED " + (current == null ? family : current.name()) + ": " + e.getMessage());
            return Optional.ofNullable(current);
        }
        System.out.printf(
                Locale.ROOT,
                "%-17s %4d right, %d wrong, %.1f s%n",
                family.name().toLowerCase(Locale.ROOT),
                right - rightBefore,
                wrong - wrongBefore,
                (System.nanoTime() - start) / 1e9);
        return Optional.empty();
    }

    private Collection<OpCase> rows(Family family) {
        boolean few = words.last("--rows", "all").equals("few");
        List<String> left = words.all("--except");
        Map<String, Long> failures = left.stream()
                .collect(Collectors.groupingBy(name -> OpCases.named(name).op(), Collectors.counting()));
        Set<String> ops = new HashSet<>();
        List<OpCase> rows = new ArrayList<>();
        for (OpCase row : OpCases.of(family, use)) {
            boolean wanted = !left.contains(row.name()) && (!few || ops.add(row.op()));
            if (wanted && failures.getOrDefault(row.op(), 0L) < MOST_FAILURES) {
                rows.add(row);
            } else if (wanted && ops.add(row.op())) {
                System.out.println("left out: the other rows of " + row.op() + ", at which the device failed before");
            }
        }
        return rows;
    }

    private void judge(Pending one, Bench bench) {
        List<String> mistakes = new ArrayList<>();
        try {
            for (Output output : one.outputs().get()) {
                (ofNorm.isPresent()
                                ? output.mismatchInNorm(bench.device(), ofNorm.getAsDouble())
                                : output.mismatch(bench.device()))
                        .ifPresent(mistakes::add);
            }
        } catch (ExecutionException e) {
            mistakes.add("what is expected cannot be computed: " + e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            mistakes.add("interrupted");
        }
        if (mistakes.isEmpty()) {
            right++;
        } else {
            wrong++;
            System.out.println("WRONG " + one.row().name() + ": " + String.join("; ", mistakes));
        }
    }
}
