package dev.loranative.train;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterModule;
import dev.loranative.lora.FullTarget;
import dev.loranative.lora.FullTensor;
import dev.loranative.lora.Target;
import dev.loranative.lora.TargetMatcher;
import dev.loranative.lora.Targets;
import dev.loranative.lora.TokenRows;
import dev.loranative.lora.TokenTarget;
import dev.loranative.model.ModuleTree;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * An adapter that a run starts from brings its own settings and targets. A setting beside it that says otherwise is a mistake,
 * not a wish.
 */
public final class AdapterAgreement {

    private static final List<Key<?>> TARGETS = List.of(
            LoraKeys.TARGET_MODULES,
            LoraKeys.EXCLUDE_MODULES,
            LoraKeys.TARGET_PARAMETERS,
            LoraKeys.LAYERS_TO_TRANSFORM,
            LoraKeys.MODULES_TO_SAVE,
            LoraKeys.TRAINABLE_TOKEN_INDICES);

    private static final List<Key<?>> PATTERNS = List.of(LoraKeys.RANK_PATTERN, LoraKeys.ALPHA_PATTERN);

    private final ConfigValues values;
    private final LoraConfig asked;
    private final LoraConfig held;
    private final Adapter adapter;
    private final Path source;

    private AdapterAgreement(ConfigValues values, LoraConfig asked, Adapter adapter, Path source) {
        this.values = values;
        this.asked = asked;
        this.held = adapter.config().lora();
        this.adapter = adapter;
        this.source = source;
    }

    /**
     * @param asked what the adapter should have been made with
     * @param source the adapter's folder
     * @throws UserException naming the first setting that differs
     */
    public static void require(ConfigValues values, LoraConfig asked, ModuleTree tree, Adapter adapter, Path source) {
        AdapterAgreement agreement = new AdapterAgreement(values, asked, adapter, source);
        agreement.requireSettings();
        agreement.requireTargets(tree);
    }

    /** An initialisation has nothing to begin where an adapter begins; {@code true}, the default, and the adapter's own say nothing. */
    static void requireNoStart(ConfigValues values, LoraConfig asked) {
        Object init = LoraKeys.INIT_LORA_WEIGHTS.write(asked.initLoraWeights());
        if (values.isSet(LoraKeys.INIT_LORA_WEIGHTS) && !Boolean.TRUE.equals(init) && !"gaussian".equals(init)) {
            throw UserException.badInput(
                    "init_lora_weights " + init + " cannot be used with init_adapter, whose values are the start",
                    "leave one of the two out");
        }
    }

    /** The same for the checkpoint of a run that chose among the targets itself. */
    static void requireSettings(ConfigValues values, LoraConfig asked, Adapter adapter, Path source) {
        new AdapterAgreement(values, asked, adapter, source).requireSettings();
    }

    private void requireSettings() {
        requireSame(LoraKeys.R, asked.r(), held.r());
        requireSame(LoraKeys.LORA_ALPHA, asked.loraAlpha(), held.loraAlpha());
        requireSame(LoraKeys.USE_RSLORA, asked.useRslora(), held.useRslora());
        requireSame(LoraKeys.USE_DORA, asked.useDora(), held.useDora());
        requireSame(LoraKeys.LORA_BIAS, asked.loraBias(), held.loraBias());
        requireSame(LoraKeys.BIAS, asked.bias(), held.bias());
        requireSame(LoraKeys.SHARE_EXPERT_ADAPTERS, asked.shareExpertAdapters(), held.shareExpertAdapters());
    }

    private <T> void requireSame(Key<T> key, T wanted, T found) {
        if (isSaid(key) && !wanted.equals(found)) {
            throw UserException.badInput(
                    key.name() + " is " + key.write(wanted) + ", but the adapter " + source + " has "
                            + key.write(found),
                    "leave " + key.name() + " out, or start without that adapter");
        }
    }

    private boolean isAnySet(List<Key<?>> keys) {
        return keys.stream().anyMatch(this::isSaid);
    }

    /** A file that gives a default may be a run's train_config.yaml, which has every key: that says nothing. */
    private boolean isSaid(Key<?> key) {
        return values.isSet(key)
                && (values.origin(key).startsWith("--") || !Objects.equals(values.get(key), key.defaultValue()));
    }

    /** Targets that were named beside an adapter must be the adapter's own. */
    private void requireTargets(ModuleTree tree) {
        if (!isAnySet(TARGETS)) {
            if (isAnySet(PATTERNS)) {
                requirePatterns(tree);
            }
            return;
        }
        boolean ranked = isAnySet(PATTERNS);
        Targets targets = TargetMatcher.match(asked, tree);
        Map<String, String> wanted = new LinkedHashMap<>();
        for (Target target : targets.list()) {
            wanted.put(target.module().name(), ranked ? rank(target.r(), target.alpha()) : "");
        }
        for (FullTarget target : targets.full()) {
            wanted.put(target.name(), "");
        }
        for (TokenTarget target : targets.tokens()) {
            wanted.put("rows of " + target.module(), target.indices().toString());
        }
        Map<String, String> found = new LinkedHashMap<>();
        for (AdapterModule module : adapter.modules()) {
            found.put(module.module().name(), ranked ? rank(module.r(), module.alpha()) : "");
        }
        for (FullTensor tensor : adapter.tensors().full()) {
            found.put(tensor.name(), "");
        }
        for (TokenRows rows : adapter.tensors().tokens()) {
            found.put("rows of " + rows.module(), rows.indices().toString());
        }
        requireSame(wanted, found);
    }

    /** Patterns alone: what they say of the adapter's modules, if it is another rank or alpha than every other module's. */
    private void requirePatterns(ModuleTree tree) {
        Map<String, AdapterModule> modules = new LinkedHashMap<>();
        adapter.modules().forEach(module -> modules.put(module.module().name(), module));
        if (modules.isEmpty()) {
            return;
        }
        LoraConfig patterns = held.withTargets(new ModuleNames.Names(List.copyOf(modules.keySet())))
                .withTargetParameters(List.of())
                .withRanks(
                        held.r(),
                        held.loraAlpha(),
                        asked.rankPattern().isEmpty() ? held.rankPattern() : asked.rankPattern(),
                        asked.alphaPattern().isEmpty() ? held.alphaPattern() : asked.alphaPattern(),
                        held.initLoraWeights());
        for (Target target : TargetMatcher.match(patterns, tree).list()) {
            AdapterModule module = modules.get(target.module().name());
            boolean rank = target.r() != module.r() && target.r() != held.r();
            boolean alpha = (float) target.alpha() != (float) module.alpha() && target.alpha() != held.loraAlpha();
            if (rank || alpha) {
                throw otherRank(
                        target.module().name(), rank(target.r(), target.alpha()), rank(module.r(), module.alpha()));
            }
        }
    }

    private UserException otherRank(String name, String wanted, String found) {
        return UserException.badInput(
                name + " is to have " + wanted + ", but the adapter " + source + " has " + found,
                "leave rank_pattern, alpha_pattern and trainable_token_indices out, or start without that adapter");
    }

    /** Alpha as float: halving that of a fused weight may have cost its last bit. */
    private static String rank(int r, double alpha) {
        return "r " + r + ", alpha " + (float) alpha;
    }

    private void requireSame(Map<String, String> wanted, Map<String, String> found) {
        String hint = "leave the targets out to train what the adapter holds, or start without that adapter";
        for (Map.Entry<String, String> target : wanted.entrySet()) {
            String held = found.get(target.getKey());
            if (held == null) {
                throw different(wanted, found, "it lacks " + target.getKey(), hint);
            }
            if (!held.equals(target.getValue())) {
                throw otherRank(target.getKey(), target.getValue(), held);
            }
        }
        found.keySet().stream()
                .filter(name -> !wanted.containsKey(name))
                .findFirst()
                .ifPresent(name -> {
                    throw different(wanted, found, "it also holds " + name, hint);
                });
    }

    private UserException different(Map<String, String> wanted, Map<String, String> found, String first, String hint) {
        return UserException.badInput(
                "the targets name " + wanted.size() + " parts of the model, but the adapter " + source + " holds "
                        + found.size() + "; " + first,
                hint);
    }
}
