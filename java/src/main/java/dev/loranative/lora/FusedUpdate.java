package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.lora.ExpertGroup.Fused;
import dev.loranative.lora.ExpertGroup.Role;
import dev.loranative.model.LinearModule;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The updates of all experts of a layer to one weight, as one update of that weight for PEFT.
 *
 * <p>Gate and up become one update of twice the rank, the gate's ranks first: B then has zeros where the gate's ranks meet up's
 * rows. Only where both have the same A, as {@link FusedReader} makes them of an update that is not so divided, the rank stays.
 * What is not trained, or has a smaller rank, is filled with zeros; see {@link ZeroPadding}.
 *
 * @param group the layer's experts
 * @param r rank of the whole
 * @param alpha numerator of its scaling
 * @param sameA whether gate and up share their ranks
 * @param padded whether anything was filled with zeros or scaled, or the ranks or scalings differ
 * @param alphas alpha by module, where {@link ZeroPadding} must be told
 * @param updates by role and number of the expert; those that are not trained are null
 */
record FusedUpdate(
        ExpertGroup group,
        Fused weight,
        int r,
        double alpha,
        double scaling,
        boolean sameA,
        boolean padded,
        Map<String, Double> alphas,
        List<List<AdapterModule>> updates) {

    /**
     * @param found the adapter by module; at least one of the weight's projections is in it
     */
    static FusedUpdate of(ExpertGroup group, Fused weight, Map<LinearModule, AdapterModule> found, boolean rslora) {
        List<List<AdapterModule>> updates = new ArrayList<>();
        for (Role role : weight.roles()) {
            List<AdapterModule> ofRole = new ArrayList<>();
            group.experts().get(role).forEach(module -> ofRole.add(found.get(module)));
            updates.add(ofRole);
        }
        List<AdapterModule> present = updates.stream()
                .flatMap(List::stream)
                .filter(update -> update != null)
                .toList();
        int largest = present.stream().mapToInt(AdapterModule::r).max().orElseThrow();
        AdapterModule first = present.stream()
                .filter(update -> update.r() == largest)
                .findFirst()
                .orElseThrow();
        boolean complete = present.size() == weight.roles().size() * group.count();
        boolean uniform = present.stream().allMatch(update -> update.r() == largest && update.alpha() == first.alpha());
        boolean sameA = weight == Fused.GATE_UP && complete && uniform && haveSameA(updates, largest);
        boolean twice = weight == Fused.GATE_UP && !sameA;
        int r = twice ? 2 * largest : largest;
        double alpha = twice ? first.alpha() * (rslora ? Math.sqrt(2) : 2) : first.alpha();
        Map<String, Double> alphas = new LinkedHashMap<>();
        for (AdapterModule update : present) {
            double whole = twice ? alpha / (rslora ? Math.sqrt(2) : 2) : alpha;
            double derived = update.r() == largest
                    ? whole
                    : LoraConfig.scaling(whole, largest, rslora) * (rslora ? Math.sqrt(update.r()) : update.r());
            if (update.alpha() != derived) {
                alphas.put(update.module().name(), update.alpha());
            }
        }
        return new FusedUpdate(
                group,
                weight,
                r,
                alpha,
                LoraConfig.scaling(alpha, r, rslora),
                sameA,
                !complete || !uniform,
                alphas,
                updates);
    }

    /** Whether all gates have the A of their ups, and B would not look as if the ranks were divided. */
    private static boolean haveSameA(List<List<AdapterModule>> updates, int r) {
        boolean divided = r % 2 == 0;
        for (int expert = 0; expert < updates.getFirst().size(); expert++) {
            AdapterModule gate = updates.getFirst().get(expert);
            AdapterModule up = updates.getLast().get(expert);
            if (!Arrays.equals(gate.a(), up.a())) {
                return false;
            }
            divided &= isZero(gate.b(), r, r / 2, r) && isZero(up.b(), r, 0, r / 2);
        }
        return !divided;
    }

    private static boolean isZero(float[] b, int r, int from, int to) {
        for (int i = 0; i < b.length; i++) {
            if (i % r >= from && i % r < to && b[i] != 0) {
                return false;
            }
        }
        return true;
    }

    /** Whether reading gives back the very same numbers: not if B had to be multiplied by a fraction. */
    boolean isExact() {
        return updates.stream()
                .flatMap(List::stream)
                .filter(update -> update != null)
                .allMatch(update -> isPowerOfTwo((float) (update.scaling() / scaling)));
    }

    private static boolean isPowerOfTwo(float factor) {
        return factor == Math.scalb(1f, Math.getExponent(factor));
    }

    private FusedLayout layout() {
        return new FusedLayout(group.count(), r, Math.toIntExact(group.in(weight)), Math.toIntExact(group.out(weight)));
    }

    List<Long> shapeA() {
        return List.of((long) r * group.count(), group.in(weight));
    }

    List<Long> shapeB() {
        return List.of(group.out(weight), (long) r * group.count());
    }

    float[] a() {
        FusedLayout layout = layout();
        float[] a = new float[Math.multiplyExact(layout.r() * layout.experts(), layout.in())];
        forEach((update, half, expert) -> layout.putA(update.a(), expert, firstRank(half), a));
        return a;
    }

    float[] b() {
        FusedLayout layout = layout();
        float[] b = new float[Math.multiplyExact(layout.r() * layout.experts(), layout.out())];
        int rows = layout.out() / weight.roles().size();
        forEach((update, half, expert) -> layout.putB(
                update.b(), update.r(), expert, half * rows, firstRank(half), (float) (update.scaling() / scaling), b));
        return b;
    }

    private int firstRank(int half) {
        return sameA ? 0 : half * r / weight.roles().size();
    }

    private interface Visitor {
        void visit(AdapterModule update, int half, int expert);
    }

    private void forEach(Visitor visitor) {
        for (int half = 0; half < updates.size(); half++) {
            for (int expert = 0; expert < group.count(); expert++) {
                AdapterModule update = updates.get(half).get(expert);
                if (update != null) {
                    visitor.visit(update, half, expert);
                }
            }
        }
    }
}
