package dev.loranative.lora;

import dev.loranative.config.Lists;
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
    private final PartialMatches partial;
    private final Set<LinearModule> excluded = new LinkedHashSet<>();

    /** Experts that {@code target_parameters} names by the weight of all of them. */
    private final Set<LinearModule> together = new LinkedHashSet<>();

    private final List<String> warnings = new ArrayList<>();

    LowRankMatcher(LoraConfig config, List<LinearModule> modules, Predicate<LinearModule> trainedInFull) {
        this.config = config;
        this.modules = modules;
        this.trainedInFull = trainedInFull;
        this.layers = LayerFilter.of(config, modules);
        this.complaints = new Complaints(modules);
        this.partial = new PartialMatches(modules, layers);
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
        partial.lookAtExperts(rules, chosen);
        config.targetParameters().forEach(text -> chooseParameters(text, chosen));
        List<Target> targets = targets(chosen);
        warnings.addAll(partial.warnings());
        warnAboutRouters(targetModules, chosen);
        return targets;
    }

    /** Why there is no target. */
    UserException nothing(Optional<ModuleNames> targetModules) {
        boolean asked = targetModules.isPresent() && !targetModules.get().equals(ModuleNames.of())
                || !config.targetParameters().isEmpty();
        if (!asked) {
            return UserException.badInput(
                    "target_modules is empty: nothing would be trained",
                    "name modules, for example target_modules: [q_proj, v_proj], or all-linear");
        }
        String taken = config.excludeModules()
                .map(names -> "exclude_modules " + names)
                .orElse("modules_to_save " + config.modulesToSave());
        return UserException.badInput(
                taken + " leaves nothing of target_modules "
                        + targetModules.map(Object::toString).orElse("[]")
                        + (config.targetParameters().isEmpty()
                                ? ""
                                : " and target_parameters " + config.targetParameters()),
                "exclude less or target more; to train modules in full alone, write target_modules: []");
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
            throw found.containsKey(Match.OTHER_LAYER) ? otherLayers(TARGETS, rule) : complaints.nothingNamed(rule);
        }
        if (addAllowed("target_modules: '" + rule.text() + "'", named, chosen)) {
            partial.look(rule, named);
        }
    }

    private UserException otherLayers(String setting, NameRule rule) {
        return UserException.badInput(
                setting + ": '" + rule.text() + "' names modules of other layers than layers_to_transform "
                        + config.layersToTransform() + " only",
                "change the layers, or leave '" + rule.text() + "' out");
    }

    private void chooseParameters(String text, Set<LinearModule> chosen) {
        NameRule rule = new NameRule.Weight(text);
        List<LinearModule> named = modules.stream()
                .filter(module -> rule.match(module, layers) == Match.YES)
                .toList();
        if (named.isEmpty()) {
            throw modules.stream().anyMatch(module -> rule.match(module, layers) == Match.OTHER_LAYER)
                    ? otherLayers("target_parameters", rule)
                    : complaints.noParameter(text);
        }
        // PEFT's patterns name what was targeted, here the weight of all experts.
        named.stream().filter(module -> module.kind() == Kind.EXPERT).forEach(together::add);
        if (text.endsWith("gate_up_proj")) {
            warnings.add("target_parameters: '" + text + "' stands for gate_proj and up_proj of every expert, each with"
                    + " its own A; in PEFT they share one");
        }
        addAllowed("target_parameters: '" + text + "'", named, chosen);
    }

    /** Whether anything of it is trained. */
    private boolean addAllowed(String entry, List<LinearModule> named, Set<LinearModule> chosen) {
        List<LinearModule> allowed = named.stream()
                .filter(module -> !excluded.contains(module) && !trainedInFull.test(module))
                .toList();
        if (allowed.isEmpty()) {
            boolean full = named.stream().anyMatch(trainedInFull);
            warnings.add(entry + " has no effect: " + (full ? "modules_to_save trains" : "exclude_modules leaves out")
                    + " all that it names");
        }
        chosen.addAll(allowed);
        return !allowed.isEmpty();
    }

    private List<Target> targets(Set<LinearModule> chosen) {
        PatternLookup<Integer> ranks = new PatternLookup<>(config.rankPattern(), "rank_pattern");
        PatternLookup<Double> alphas = new PatternLookup<>(config.alphaPattern(), "alpha_pattern");
        List<Target> targets = new ArrayList<>();
        for (LinearModule module : modules) {
            if (!chosen.contains(module)) {
                continue;
            }
            List<String> names = new ArrayList<>(NameRule.names(module));
            NameRule.names(module).forEach(name -> names.add(name + ".weight"));
            if (together.contains(module)) {
                names.addAll(NameRule.weights(module));
            }
            int r = ranks.find(names).orElse(config.r());
            double alpha = alphas.find(names).orElse(config.loraAlpha());
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
        ranks.unused().forEach(text -> warnings.add("rank_pattern: '" + text + "' matches no target" + meant(text)));
        alphas.unused().forEach(text -> warnings.add("alpha_pattern: '" + text + "' matches no target" + meant(text)));
        return targets;
    }

    /** The nearest names of one that no module has. */
    private String meant(String text) {
        boolean named = Lists.isRegex(text)
                || modules.stream()
                        .flatMap(module -> NameRule.names(module).stream())
                        .anyMatch(name -> name.equals(text) || name.endsWith("." + text));
        return named ? "" : "; nearest names: " + complaints.nearest(text);
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
