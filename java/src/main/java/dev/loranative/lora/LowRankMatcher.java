package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
import dev.loranative.lora.NameRule.Match;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Which modules get a low-rank update: PEFT 0.21's rules ({@code check_target_module_exists}) on the names in the checkpoint,
 * without its rewriting for mixture-of-experts models. In order: what {@code exclude_modules} names is out, and what {@code
 * modules_to_save} trains; an expression must match the whole name; a list entry is a whole name, or the end of one behind a
 * dot, which {@code layers_to_transform} then filters.
 *
 * <p>Where PEFT is silent this is not: an entry that names nothing is an error.
 */
final class LowRankMatcher {

    private static final String TARGETS = "target_modules";

    private final LoraConfig config;
    private final List<LinearModule> modules;
    private final Predicate<LinearModule> trainedInFull;
    private final LayerFilter layers;
    private final Complaints complaints;
    private final Set<LinearModule> excluded = new LinkedHashSet<>();
    private final List<String> warnings = new ArrayList<>();

    LowRankMatcher(LoraConfig config, List<LinearModule> modules, Predicate<LinearModule> trainedInFull) {
        this.config = config;
        this.modules = modules;
        this.trainedInFull = trainedInFull;
        this.layers = LayerFilter.of(config, modules);
        this.complaints = new Complaints(modules);
    }

    List<String> warnings() {
        return warnings;
    }

    /** In the order of the modules; empty if nothing was asked for, or nothing is left of it. */
    List<Target> match(Optional<ModuleNames> targetModules) {
        List<NameRule> rules =
                targetModules.map(names -> NameRule.of(names, modules, TARGETS)).orElse(List.of());
        exclude();
        Set<LinearModule> chosen = new LinkedHashSet<>();
        for (NameRule rule : rules) {
            choose(rule, chosen);
        }
        config.targetParameters().forEach(text -> chooseParameters(text, chosen));
        List<Target> targets = targets(chosen);
        warnAboutRouters(targetModules, chosen);
        return targets;
    }

    /** Why nothing is trained. */
    UserException nothing(Optional<ModuleNames> targetModules) {
        boolean asked = targetModules.isPresent() && !targetModules.get().equals(ModuleNames.of());
        return asked && config.excludeModules().isPresent()
                ? UserException.badInput(
                        "exclude_modules " + config.excludeModules().get() + " leaves nothing of target_modules "
                                + targetModules.get(),
                        "exclude less, or target more")
                : UserException.badInput(
                        "target_modules is empty: nothing would be trained",
                        "name modules, for example target_modules: [q_proj, v_proj], or all-linear");
    }

    private void exclude() {
        if (config.excludeModules().isEmpty()) {
            return;
        }
        LayerFilter everyLayer = LayerFilter.none();
        for (NameRule rule : NameRule.of(config.excludeModules().get(), modules, "exclude_modules")) {
            List<LinearModule> named = modules.stream()
                    .filter(module -> rule.match(module, everyLayer) == Match.YES)
                    .toList();
            if (named.isEmpty()) {
                warnings.add("exclude_modules: '" + rule.text() + "' excludes nothing; nearest names: "
                        + complaints.nearest(rule.text()));
            }
            excluded.addAll(named);
        }
    }

    private void choose(NameRule rule, Set<LinearModule> chosen) {
        Map<Match, List<LinearModule>> found = new HashMap<>();
        for (LinearModule module : modules) {
            found.computeIfAbsent(rule.match(module, layers), _ -> new ArrayList<>())
                    .add(module);
        }
        List<LinearModule> named = found.getOrDefault(Match.YES, List.of());
        if (named.isEmpty()) {
            throw found.containsKey(Match.OTHER_LAYER)
                    ? UserException.badInput(
                            "target_modules: '" + rule.text() + "' names modules of other layers than "
                                    + "layers_to_transform " + config.layersToTransform() + " only",
                            "change the layers, or leave '" + rule.text() + "' out")
                    : complaints.nothingNamed(rule);
        }
        addAllowed("target_modules: '" + rule.text() + "'", named, chosen);
    }

    private void chooseParameters(String text, Set<LinearModule> chosen) {
        List<LinearModule> named = modules.stream()
                .filter(module -> NameRule.names(module).stream()
                        .map(name -> name + ".weight")
                        .anyMatch(name -> name.equals(text) || name.endsWith("." + text)))
                .toList();
        if (named.isEmpty()) {
            throw complaints.noParameter(text);
        }
        addAllowed("target_parameters: '" + text + "'", named, chosen);
    }

    private void addAllowed(String entry, List<LinearModule> named, Set<LinearModule> chosen) {
        List<LinearModule> allowed = named.stream()
                .filter(module -> !excluded.contains(module) && !trainedInFull.test(module))
                .toList();
        if (allowed.isEmpty()) {
            boolean full = named.stream().anyMatch(trainedInFull);
            warnings.add(entry + " has no effect: " + (full ? "modules_to_save trains" : "exclude_modules leaves out")
                    + " all that it names");
        }
        chosen.addAll(allowed);
    }

    private List<Target> targets(Set<LinearModule> chosen) {
        PatternLookup<Integer> ranks = new PatternLookup<>(config.rankPattern(), "rank_pattern");
        PatternLookup<Double> alphas = new PatternLookup<>(config.alphaPattern(), "alpha_pattern");
        List<Target> targets = new ArrayList<>();
        for (LinearModule module : modules) {
            if (!chosen.contains(module)) {
                continue;
            }
            int r = ranks.find(module).orElse(config.r());
            double alpha = alphas.find(module).orElse(config.loraAlpha());
            if (r <= 0) {
                throw UserException.badInput(
                        "r must be a whole number of at least 1, not " + r + " (" + module.name() + ")",
                        "set r, or the rank_pattern, to 1 or more");
            }
            double scaling = LoraConfig.scaling(alpha, r, config.useRslora());
            // PEFT drops no inputs of an embedding: they are numbers of tokens.
            double dropout = module.kind() == Kind.EMBEDDING ? 0 : config.loraDropout();
            targets.add(new Target(module, r, alpha, scaling, dropout, config.useDora(), config.loraBias()));
        }
        ranks.unused().forEach(text -> warnings.add("rank_pattern: '" + text + "' matches no target"));
        alphas.unused().forEach(text -> warnings.add("alpha_pattern: '" + text + "' matches no target"));
        return targets;
    }

    private void warnAboutRouters(Optional<ModuleNames> targetModules, Set<LinearModule> chosen) {
        List<LinearModule> frozen = modules.stream()
                .filter(module -> module.kind() == Kind.ROUTER)
                .filter(module -> !chosen.contains(module) && !excluded.contains(module))
                .filter(module -> !trainedInFull.test(module))
                .toList();
        boolean allLinear = targetModules.orElse(null) instanceof ModuleNames.Pattern pattern && pattern.isAllLinear();
        if (allLinear && !frozen.isEmpty()) {
            warnings.add("all-linear leaves the " + frozen.size() + " routers ("
                    + frozen.getFirst().name() + ", …) FROZEN; to train them too, write target_modules:"
                    + " [attention, mlp, experts, router]");
        }
    }
}
