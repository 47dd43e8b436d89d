package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
import dev.loranative.lora.NameRule.Match;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Decides which modules are trained: PEFT 0.21's rules ({@code check_target_module_exists}) on the names in the checkpoint,
 * without its rewriting for mixture-of-experts models. In order: what {@code exclude_modules} names is out; an expression
 * must match the whole name; a list entry is a whole name, or the end of one behind a dot, which
 * {@code layers_to_transform} then filters.
 *
 * <p>Where PEFT is silent this is not: an entry that names nothing is an error.
 */
public final class TargetMatcher {

    private static final String TARGETS = "target_modules";

    private final LoraConfig config;
    private final List<LinearModule> modules;
    private final LayerFilter layers;
    private final Complaints complaints;
    private final List<String> warnings = new ArrayList<>();

    private TargetMatcher(LoraConfig config, List<LinearModule> modules) {
        this.config = config;
        this.modules = modules;
        this.layers = LayerFilter.of(config);
        this.complaints = new Complaints(modules);
    }

    /**
     * @throws UserException if an entry names nothing (with the nearest names), everything is excluded, a layer does not
     *     exist, an expression is no valid one, or an embedding is named
     */
    public static Targets match(LoraConfig config, ModuleTree tree) {
        return new TargetMatcher(config, tree.modules()).match(DefaultTargets.of(config, tree.modelType()));
    }

    static Targets match(LoraConfig config, List<LinearModule> modules, ModuleNames targetModules) {
        return new TargetMatcher(config, modules).match(Optional.of(targetModules));
    }

    private Targets match(Optional<ModuleNames> targetModules) {
        List<NameRule> rules =
                targetModules.map(names -> NameRule.of(names, modules, TARGETS)).orElse(List.of());
        requireKnownLayers();
        Map<NameRule, Set<Match>> seen = new HashMap<>();
        Set<LinearModule> excluded = excluded();
        Set<LinearModule> chosen = new LinkedHashSet<>();
        boolean named = false;
        for (LinearModule module : modules) {
            for (NameRule rule : rules) {
                Match match = rule.match(module, layers);
                seen.computeIfAbsent(rule, _ -> new LinkedHashSet<>()).add(match);
                if (match == Match.YES) {
                    named = true;
                    if (!excluded.contains(module)) {
                        chosen.add(module);
                    }
                }
            }
        }
        for (NameRule rule : rules) {
            requireNamed(rule, seen.get(rule));
        }
        chosen.addAll(parameters());
        if (chosen.isEmpty()) {
            throw named
                    ? UserException.badInput(
                            "exclude_modules " + config.excludeModules().orElseThrow()
                                    + " leaves nothing of target_modules "
                                    + targetModules.orElseThrow(),
                            "exclude less, or target more")
                    : UserException.badInput(
                            "target_modules is empty: nothing would be trained",
                            "name modules, for example target_modules: [q_proj, v_proj], or all-linear");
        }
        List<Target> targets = targets(chosen);
        warnAboutRouters(targetModules, chosen, excluded);
        return new Targets(targets, List.of(), List.of(), warnings);
    }

    private Set<LinearModule> excluded() {
        Set<LinearModule> excluded = new LinkedHashSet<>();
        if (config.excludeModules().isEmpty()) {
            return excluded;
        }
        ModuleNames names = config.excludeModules().get();
        LayerFilter everyLayer = LayerFilter.none();
        for (NameRule rule : NameRule.of(names, modules, "exclude_modules")) {
            int before = excluded.size();
            modules.stream()
                    .filter(module -> rule.match(module, everyLayer) == Match.YES)
                    .forEach(excluded::add);
            if (excluded.size() == before && modules.stream().noneMatch(m -> rule.match(m, everyLayer) == Match.YES)) {
                warnings.add("exclude_modules: '" + rule.text() + "' excludes nothing; nearest names: "
                        + complaints.nearest(rule.text()));
            }
        }
        return excluded;
    }

    private void requireKnownLayers() {
        Set<Integer> known = new TreeSet<>();
        modules.forEach(module ->
                NameRule.names(module).forEach(name -> layers.layer(name).ifPresent(known::add)));
        List<Integer> unknown = config.layersToTransform().stream()
                .filter(layer -> !known.contains(layer))
                .toList();
        if (unknown.isEmpty()) {
            return;
        }
        throw known.isEmpty()
                ? UserException.badInput(
                        "layers_pattern " + config.layersPattern() + " finds no layers in the names of this model",
                        "leave layers_pattern out")
                : UserException.badInput(
                        "layers_to_transform: no layer " + Complaints.list(unknown) + "; the model has layers "
                                + known.stream().findFirst().orElseThrow() + " to "
                                + List.copyOf(known).getLast(),
                        "count layers from 0");
    }

    private void requireNamed(NameRule rule, Set<Match> matches) {
        if (matches.contains(Match.YES)) {
            return;
        }
        if (matches.contains(Match.OTHER_LAYER)) {
            throw UserException.badInput(
                    "target_modules: '" + rule.text() + "' names modules of other layers than layers_to_transform "
                            + config.layersToTransform() + " only",
                    "change the layers, or leave '" + rule.text() + "' out");
        }
        throw complaints.nothingNamed(rule);
    }

    private Set<LinearModule> parameters() {
        Set<LinearModule> chosen = new LinkedHashSet<>();
        for (String text : config.targetParameters()) {
            int before = chosen.size();
            for (LinearModule module : modules) {
                if (NameRule.names(module).stream()
                        .map(name -> name + ".weight")
                        .anyMatch(name -> name.equals(text) || name.endsWith("." + text))) {
                    chosen.add(module);
                }
            }
            if (chosen.size() == before) {
                throw complaints.noParameter(text);
            }
        }
        return chosen;
    }

    private List<Target> targets(Set<LinearModule> chosen) {
        PatternLookup<Integer> ranks = new PatternLookup<>(config.rankPattern(), "rank_pattern");
        PatternLookup<Double> alphas = new PatternLookup<>(config.alphaPattern(), "alpha_pattern");
        List<Target> targets = new ArrayList<>();
        for (LinearModule module : modules) {
            if (!chosen.contains(module)) {
                continue;
            }
            if (module.kind() == Kind.EMBEDDING) {
                throw UserException.badInput(
                        module.name() + " is an embedding: LoRA on embeddings is not supported yet",
                        "leave it out of target_modules, or set exclude_modules: [" + module.name() + "]");
            }
            int r = ranks.find(module).orElse(config.r());
            double alpha = alphas.find(module).orElse(config.loraAlpha());
            if (r <= 0) {
                throw UserException.badInput(
                        "r must be a whole number of at least 1, not " + r + " (" + module.name() + ")",
                        "set r, or the rank_pattern, to 1 or more");
            }
            double scaling = LoraConfig.scaling(alpha, r, config.useRslora());
            targets.add(
                    new Target(module, r, alpha, scaling, config.loraDropout(), config.useDora(), config.loraBias()));
        }
        ranks.unused().forEach(text -> warnings.add("rank_pattern: '" + text + "' matches no target"));
        alphas.unused().forEach(text -> warnings.add("alpha_pattern: '" + text + "' matches no target"));
        return targets;
    }

    private void warnAboutRouters(
            Optional<ModuleNames> targetModules, Set<LinearModule> chosen, Set<LinearModule> excluded) {
        List<LinearModule> frozen = modules.stream()
                .filter(module -> module.kind() == Kind.ROUTER)
                .filter(module -> !chosen.contains(module) && !excluded.contains(module))
                .toList();
        boolean allLinear = targetModules.orElse(null) instanceof ModuleNames.Pattern pattern && pattern.isAllLinear();
        if (allLinear && !frozen.isEmpty()) {
            warnings.add("all-linear leaves the " + frozen.size() + " routers ("
                    + frozen.getFirst().name() + ", …) FROZEN; to train them too, write target_modules:"
                    + " [attention, mlp, experts, router]");
        }
    }
}
