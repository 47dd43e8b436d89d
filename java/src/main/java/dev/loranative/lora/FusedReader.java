package dev.loranative.lora;

import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.LoraConfig;
import dev.loranative.errors.UserException;
import dev.loranative.lora.ExpertGroup.Fused;
import dev.loranative.lora.ExpertGroup.Role;
import dev.loranative.model.LinearModule;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * Turns PEFT's pairs of matrices for all experts of a layer into updates of single projections.
 *
 * <p>A file names such a pair after the module of the experts, with {@code .base_layer} for every other pair inside, so
 * alone it does not say which weight it belongs to; the shapes do.
 *
 * <p>The update of {@code gate_up_proj} is split by rows. Where the first half of the ranks serves the gate alone and the
 * second half {@code up} alone, as in files made of separate updates, each gets its half. Otherwise both get the same A with
 * all ranks: the same function, but trained further the two A go their own ways.
 */
final class FusedReader {

    /** One pair in the file. */
    record Pair(String name, Optional<TensorEntry> a, Optional<TensorEntry> b) {}

    /** A pair whose weight is known. */
    private record Placed(ExpertGroup group, Fused weight, FusedLayout layout, Pair pair) {}

    private final AdapterSource source;
    private final ExpectedRanks ranks;
    private final List<Placed> placed = new ArrayList<>();
    private boolean swapped;

    FusedReader(AdapterSource source, ExpectedRanks ranks) {
        this.source = source;
        this.ranks = ranks;
    }

    /** What a pair's shapes allow: a weight, in today's layout or the old one. */
    private record Reading(Fused weight, boolean swapped) {}

    /**
     * Finds out what every pair is.
     *
     * @param pairs by name of the module, nesting included
     */
    void place(Map<String, Pair> pairs, Map<String, ExpertGroup> groups) {
        Map<Pair, List<Reading>> readings = new LinkedHashMap<>();
        Map<Pair, ExpertGroup> groupOf = new LinkedHashMap<>();
        // The nested ones follow their module: the order of the names is the order of messages.
        new TreeMap<>(pairs).forEach((name, pair) -> {
            ExpertGroup group = groups.get(outermost(name));
            if (pair.a().isEmpty() || pair.b().isEmpty()) {
                throw source.incomplete(name, pair.a().isEmpty() ? PeftName.Part.A : PeftName.Part.B);
            }
            groupOf.put(pair, group);
            readings.put(pair, readings(pair, group));
        });
        swapped = isSwapped(readings);
        Map<String, Pair> seen = new LinkedHashMap<>();
        readings.forEach((pair, possible) -> {
            ExpertGroup group = groupOf.get(pair);
            Reading reading = possible.stream()
                    .filter(one -> one.swapped() == swapped)
                    .findFirst()
                    .orElseThrow(() -> mixed(pair));
            Pair other = seen.putIfAbsent(group.parameter(reading.weight()), pair);
            if (other != null) {
                throw source.bad(
                        other.name() + " and " + pair.name() + " both fit " + group.parameter(reading.weight()),
                        "one weight can have one update only: the file is damaged");
            }
            placed.add(new Placed(group, reading.weight(), layout(group, reading.weight(), pair), pair));
        });
    }

    private static String outermost(String name) {
        return name.endsWith(".base_layer") ? outermost(name.substring(0, name.lastIndexOf('.'))) : name;
    }

    private List<Reading> readings(Pair pair, ExpertGroup group) {
        List<Long> a = pair.a().orElseThrow().shape();
        List<Long> b = pair.b().orElseThrow().shape();
        List<Reading> readings = new ArrayList<>();
        List<String> wanted = new ArrayList<>();
        for (Fused weight : Fused.values()) {
            long in = group.in(weight);
            long out = group.out(weight);
            wanted.add("lora_A [r·" + group.count() + ", " + in + "] and lora_B [" + out + ", r·" + group.count()
                    + "] for " + group.parameter(weight));
            if (a.size() == 2 && b.size() == 2 && a.getFirst().equals(b.getLast()) && isRank(a.getFirst(), group)) {
                if (a.getLast() == in && b.getFirst() == out) {
                    readings.add(new Reading(weight, false));
                }
                if (a.getLast() == out && b.getFirst() == in) {
                    readings.add(new Reading(weight, true));
                }
            }
        }
        if (readings.isEmpty()) {
            throw source.bad(
                    pair.name() + " has lora_A " + a + " and lora_B " + b + ", which fit no weight of " + group.name(),
                    "expected " + String.join(", or ", wanted) + "; the adapter is for another model");
        }
        return readings;
    }

    private static boolean isRank(long rows, ExpertGroup group) {
        return rows > 0 && rows % group.count() == 0;
    }

    /** A file has one layout. Square weights fit both; then another weight of the file tells, or PEFT's version. */
    private boolean isSwapped(Map<Pair, List<Reading>> readings) {
        List<Reading> certain = readings.values().stream()
                .filter(possible -> possible.size() == 1)
                .map(List::getFirst)
                .toList();
        if (!certain.isEmpty()) {
            return certain.getFirst().swapped();
        }
        if (readings.isEmpty()) {
            return false;
        }
        Optional<String> version = source.config().peftVersion();
        if (version.isEmpty()) {
            source.warn("the experts' weights are square and " + AdapterConfig.FILE
                    + " has no peft_version: read as PEFT has written them since 0.19.1");
        }
        return version.map(FusedReader::isOld).orElse(false);
    }

    private static boolean isOld(String version) {
        int[] numbers = Arrays.stream(version.split("\\."))
                .limit(3)
                .map(part -> part.replaceAll("\\D.*$", ""))
                .mapToInt(part -> part.isEmpty() ? 0 : Integer.parseInt(part.substring(0, Math.min(6, part.length()))))
                .toArray();
        return Arrays.compare(Arrays.copyOf(numbers, 3), new int[] {0, 19, 1}) < 0;
    }

    private UserException mixed(Pair pair) {
        return source.bad(
                pair.name() + " has in and out " + (swapped ? "as" : "swapped, unlike")
                        + (swapped ? " PEFT has written them since 0.19.1, unlike the others" : " the others"),
                "a file has one layout: it is damaged, or was put together from two");
    }

    private FusedLayout layout(ExpertGroup group, Fused weight, Pair pair) {
        int r = Math.toIntExact(pair.a().orElseThrow().shape().getFirst() / group.count());
        int expected = ranks.of(group, weight).r();
        if (r != expected) {
            throw source.otherRank(pair.name() + " (" + group.parameter(weight) + ")", r, expected);
        }
        return new FusedLayout(group.count(), r, Math.toIntExact(group.in(weight)), Math.toIntExact(group.out(weight)));
    }

    /** Names of the weights that have tensors. */
    List<String> parameters() {
        return placed.stream().map(one -> one.group().parameter(one.weight())).toList();
    }

    /** All updates, by module. */
    Map<LinearModule, AdapterModule> modules() {
        Map<LinearModule, AdapterModule> modules = new LinkedHashMap<>();
        for (Placed one : placed) {
            read(one).forEach(module -> modules.put(module.module(), module));
        }
        return modules;
    }

    private List<AdapterModule> read(Placed one) {
        float[] fileA = source.finite(one.pair().a().orElseThrow());
        float[] fileB = source.finite(one.pair().b().orElseThrow());
        FusedLayout layout = one.layout();
        List<float[]> a = new ArrayList<>();
        List<float[]> b = new ArrayList<>();
        for (int expert = 0; expert < layout.experts(); expert++) {
            a.add(layout.a(fileA, fileB, expert, swapped));
            b.add(layout.b(fileA, fileB, expert, swapped));
        }
        ExpectedRanks.Expected expected = ranks.of(one.group(), one.weight());
        List<AdapterModule> modules = new ArrayList<>();
        if (one.weight() == Fused.DOWN) {
            for (int expert = 0; expert < layout.experts(); expert++) {
                add(modules, one, Role.DOWN, expert, expected, a.get(expert), b.get(expert));
            }
            return modules;
        }
        boolean separate = layout.r() % 2 == 0 && b.stream().allMatch(matrix -> isSeparate(matrix, layout));
        int r = separate ? layout.r() / 2 : layout.r();
        // Half the rank must not change the scaling, which is alpha/r or alpha/sqrt(r).
        double alpha = separate ? expected.alpha() / ranks.alphaOfTwice() : expected.alpha();
        for (int expert = 0; expert < layout.experts(); expert++) {
            for (int half = 0; half < 2; half++) {
                int column = separate ? half * r : 0;
                float[] ownA = Arrays.copyOfRange(a.get(expert), column * layout.in(), (column + r) * layout.in());
                float[] ownB = block(b.get(expert), layout, half, column, r);
                Role role = half == 0 ? Role.GATE : Role.UP;
                add(modules, one, role, expert, new ExpectedRanks.Expected(r, alpha), ownA, ownB);
            }
        }
        return modules;
    }

    /** Whether the gate's rows use only the first half of the ranks, those of up only the second. */
    private static boolean isSeparate(float[] b, FusedLayout layout) {
        int r = layout.r();
        for (int o = 0; o < layout.out(); o++) {
            int foreign = o < layout.out() / 2 ? r / 2 : 0;
            for (int rho = foreign; rho < foreign + r / 2; rho++) {
                if (b[o * r + rho] != 0) {
                    return false;
                }
            }
        }
        return true;
    }

    /** [out/2, r]: half the rows, {@code r} columns. */
    private static float[] block(float[] b, FusedLayout layout, int half, int column, int r) {
        int rows = layout.out() / 2;
        float[] block = new float[rows * r];
        for (int o = 0; o < rows; o++) {
            System.arraycopy(b, (half * rows + o) * layout.r() + column, block, o * r, r);
        }
        return block;
    }

    private void add(
            List<AdapterModule> modules,
            Placed one,
            Role role,
            int expert,
            ExpectedRanks.Expected expected,
            float[] a,
            float[] b) {
        LinearModule module = one.group().experts().get(role).get(expert);
        boolean rslora = source.config().lora().useRslora();
        double scaling = LoraConfig.scaling(expected.alpha(), expected.r(), rslora);
        AdapterModule whole = new AdapterModule(module, module.name(), expected.r(), expected.alpha(), scaling, a, b);
        source.padding().unpad(whole).ifPresent(modules::add);
    }
}
