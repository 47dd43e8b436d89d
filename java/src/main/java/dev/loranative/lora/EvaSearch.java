package dev.loranative.lora;

import dev.loranative.config.EvaSettings;
import dev.loranative.config.InitLoraWeights;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
import dev.loranative.lora.init.IncrementalPca;
import dev.loranative.lora.init.Matrix;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.DenseLinear;
import dev.loranative.nn.LinearSlot;
import dev.loranative.nn.ObservedLinear;
import dev.loranative.random.CounterRandom;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * EVA (Paischer et al. 2024, arXiv:2410.07170): runs data through the model, finds the directions in which the inputs of the
 * targeted layers vary most, and shares the ranks out to where they explain most. Follows PEFT's eva.py, except that the
 * singular value decompositions are exact and that the search ends after {@link #MOST_BATCHES} batches.
 */
public final class EvaSearch {

    /** PEFT goes on until everything has settled, however long that takes. */
    static final int MOST_BATCHES = 200;

    private static final long STREAM = 1L << 53;

    /** Data to look at. */
    public interface Batches {

        int count();

        /** Which positions of a batch count. */
        boolean[] counted(int batch);

        /** Runs a batch through the whole model. */
        void run(int batch);
    }

    /**
     * What was found.
     *
     * @param targets with the ranks shared out; those that got none are left out
     * @param lora settings that say the same
     * @param directions values of A by module name
     */
    public record Found(Targets targets, LoraConfig lora, Map<String, float[]> directions) {}

    private final LoadedModel model;
    private final Targets targets;
    private final LoraConfig lora;
    private final EvaSettings settings;
    private final Batches batches;
    private final long seed;
    private final List<String> warnings;

    private EvaSearch(LoadedModel model, Targets targets, LoraConfig lora, Batches batches, long seed) {
        this.model = model;
        this.targets = targets;
        this.lora = lora;
        this.settings = ((InitLoraWeights.Eva) lora.initLoraWeights()).settings();
        this.batches = batches;
        this.seed = seed;
        this.warnings = new ArrayList<>(targets.warnings());
    }

    /**
     * @param model without adapters; as before when this returns
     * @throws UserException if a target's inputs cannot be looked at, or no batch is large enough
     */
    public static Found search(LoadedModel model, Targets targets, LoraConfig lora, Batches batches, long seed) {
        return new EvaSearch(model, targets, lora, batches, seed).run();
    }

    private Found run() {
        targets.list().forEach(EvaSearch::requireObservable);
        List<InputGroup> groups = groups();
        Map<Target, Integer> ranks = Map.of();
        boolean settled = false;
        for (int i = 0; i < MOST_BATCHES && !settled; i++) {
            boolean[] counted = batches.counted(i % batches.count());
            observe(groups, group -> !group.isSettled(), (group, x) -> group.add(x, counted), i % batches.count());
            if (groups.stream().allMatch(group -> group.pca().hasDirections())) {
                ranks = shareOut(groups);
                for (InputGroup group : groups) {
                    group.need(
                            group.members().stream().mapToInt(ranks::get).max().orElseThrow());
                }
                settled = groups.stream().allMatch(InputGroup::isSettled);
            } else if (i == batches.count() - 1) {
                throw tooSmall(groups);
            }
        }
        if (!settled) {
            long open = groups.stream().filter(group -> !group.isSettled()).count();
            warnings.add(
                    "eva: the directions of " + open + " of " + groups.size() + " layer inputs were still moving after "
                            + MOST_BATCHES + " batches; lower tau in eva_config, or give more data");
        }
        return found(groups, ranks);
    }

    private UserException tooSmall(List<InputGroup> groups) {
        InputGroup group = groups.stream()
                .filter(open -> !open.pca().hasDirections())
                .findFirst()
                .orElseThrow();
        return UserException.badInput(
                "init_lora_weights eva looks for " + group.pca().count() + " directions in the inputs of "
                        + group.members().getFirst().module().name()
                        + ", but no batch has as many positions that count",
                "raise per_device_train_batch_size, or lower r or rho, or set use_label_mask: false, in eva_config");
    }

    private static void requireObservable(Target target) {
        Kind kind = target.module().kind();
        if (kind == Kind.EXPERT || kind == Kind.HEAD || kind == Kind.EMBEDDING) {
            throw UserException.badInput(
                    "init_lora_weights eva cannot be used on " + target.module().name() + ", which is "
                            + (kind == Kind.HEAD ? "the head" : kind == Kind.EXPERT ? "an expert" : "an embedding"),
                    "name layers of attention, MLPs or routers, or use another init_lora_weights");
        }
    }

    /** Layers that get the same input need one search: found by a hash of the inputs of the first batch. */
    private List<InputGroup> groups() {
        Map<Long, List<Target>> byInput = new LinkedHashMap<>();
        List<InputGroup> alone = new ArrayList<>();
        for (Target target : targets.list()) {
            alone.add(new InputGroup(List.of(target), null, settings.tau()));
        }
        Map<Target, Long> hashes = new LinkedHashMap<>();
        observe(alone, _ -> true, (group, x) -> hashes.put(group.members().getFirst(), hash(x)), 0);
        hashes.forEach((target, hash) ->
                byInput.computeIfAbsent(hash, _ -> new ArrayList<>()).add(target));
        List<InputGroup> groups = new ArrayList<>();
        for (List<Target> members : byInput.values()) {
            int width = Math.toIntExact(members.getFirst().module().in());
            int count = members.stream()
                    .mapToInt(target -> (int) Math.min(width, Math.rint(target.r() * settings.rho())))
                    .max()
                    .orElseThrow();
            CounterRandom random = new CounterRandom(
                    seed, STREAM + model.number(members.getFirst().module()));
            groups.add(new InputGroup(members, new IncrementalPca(count, width, random), settings.tau()));
        }
        return groups;
    }

    private interface Look {
        void at(InputGroup group, Matrix x);
    }

    private interface Choice {
        boolean wants(InputGroup group);
    }

    /** Runs a batch while the first layers of the chosen groups are observed. */
    private void observe(List<InputGroup> groups, Choice choice, Look look, int batch) {
        Map<LinearSlot, DenseLinear> before = new LinkedHashMap<>();
        try {
            for (InputGroup group : groups) {
                if (choice.wants(group)) {
                    LinearSlot slot = model.slot(group.members().getFirst().module());
                    DenseLinear base = (DenseLinear) slot.get();
                    before.put(slot, base);
                    slot.set(new ObservedLinear(
                            base,
                            x -> look.at(
                                    group,
                                    Matrix.of(
                                            Math.toIntExact(x.dimension(0)),
                                            Math.toIntExact(x.dimension(1)),
                                            x.toFloats(model.device())))));
                }
            }
            batches.run(batch);
        } finally {
            before.forEach(LinearSlot::set);
        }
    }

    private static long hash(Matrix x) {
        long hash = x.columns();
        for (double value : x.values()) {
            hash = 31 * hash + Double.doubleToLongBits(value);
        }
        return hash;
    }

    /** As many directions as there are ranks, those that explain most of their layer's variation first. */
    private Map<Target, Integer> shareOut(List<InputGroup> groups) {
        record Share(Target target, double explained) {}
        List<Share> shares = new ArrayList<>();
        int budget = 0;
        Map<Target, Integer> ranks = new LinkedHashMap<>();
        for (InputGroup group : groups) {
            double[] explained = group.pca().explained();
            for (Target target : group.members()) {
                budget += target.r();
                ranks.put(target, 0);
                for (double share : explained) {
                    shares.add(new Share(target, share));
                }
            }
        }
        shares.sort((x, y) -> Double.compare(y.explained(), x.explained()));
        shares.subList(0, Math.min(budget, shares.size()))
                .forEach(share -> ranks.merge(share.target(), 1, Integer::sum));
        return ranks;
    }

    private Found found(List<InputGroup> groups, Map<Target, Integer> ranks) {
        Map<String, float[]> directions = new LinkedHashMap<>();
        for (InputGroup group : groups) {
            group.members()
                    .forEach(target -> directions.put(
                            target.module().name(), group.directions(ranks.get(target), settings.whiten())));
        }
        List<Target> kept = new ArrayList<>();
        Map<String, Integer> rankPattern = new LinkedHashMap<>();
        Map<String, Double> alphaPattern = new LinkedHashMap<>();
        for (Target target : targets.list()) {
            int r = ranks.get(target);
            LinearModule module = target.module();
            if (r == 0) {
                directions.remove(module.name());
                continue;
            }
            double alpha = settings.adjustScalingFactors() ? target.alpha() * r / target.r() : target.alpha();
            if (r != lora.r()) {
                rankPattern.put(module.name(), r);
            }
            if (alpha != lora.loraAlpha()) {
                alphaPattern.put(module.name(), alpha);
            }
            kept.add(new Target(
                    module,
                    r,
                    alpha,
                    LoraConfig.scaling(alpha, r, lora.useRslora()),
                    target.dropout(),
                    target.dora(),
                    target.bias()));
        }
        LoraConfig settled =
                lora.withRanks(lora.r(), lora.loraAlpha(), rankPattern, alphaPattern, lora.initLoraWeights());
        if (kept.size() < targets.list().size()) {
            settled = settled.withTargets(new ModuleNames.Names(
                            kept.stream().map(target -> target.module().name()).toList()))
                    .withTargetParameters(List.of());
        }
        return new Found(new Targets(kept, targets.full(), targets.tokens(), warnings), settled, directions);
    }
}
