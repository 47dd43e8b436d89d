package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.ModuleNames;
import dev.loranative.errors.UserException;
import dev.loranative.lora.FullTarget.Origin;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * {@code modules_to_save}: which modules are trained in full. PEFT 0.21's rule ({@code _module_to_save} in {@code
 * _set_trainable}): the name of a module, or of what contains it, ends with the text, without regard to dots. Hits inside a
 * word are a warning, texts without a hit an error.
 *
 * <p>A head that is tied to the embedding is one tensor with it, named as the embedding.
 */
final class FullMatcher {

    private static final String SETTING = "modules_to_save";

    /** What contains all layers: PEFT cannot train a list of modules, and the whole model is no adapter. */
    private static final Set<String> WHOLE_MODEL = Set.of("model", "model.layers");

    /**
     * A module that has tensors.
     *
     * @param names in the checkpoint, then aliases
     * @param tensors shapes by name; the weight first
     * @param kind empty for a norm
     */
    private record Owner(List<String> names, Map<String, List<Long>> tensors, Optional<Kind> kind) {

        String name() {
            return names.getFirst();
        }

        boolean is(Kind wanted) {
            return kind.isPresent() && kind.get() == wanted;
        }
    }

    private final List<String> texts;
    private final ModuleTree tree;
    private final List<PythonRegex> excluding;
    private final List<Owner> owners;
    private final Set<String> chosen = new LinkedHashSet<>();
    private final Set<LinearModule> linear = new LinkedHashSet<>();
    private final List<String> warnings = new ArrayList<>();

    FullMatcher(LoraConfig config, ModuleTree tree) {
        this.texts = config.modulesToSave();
        this.tree = tree;
        this.excluding = excluding(config);
        this.owners = texts.isEmpty() ? List.of() : owners(tree);
        texts.forEach(this::choose);
        boolean embedding = tree.modules().stream()
                .anyMatch(module -> module.kind() == Kind.EMBEDDING && chosen.contains(module.name()));
        tree.modules().stream()
                .filter(module ->
                        chosen.contains(module.name()) || embedding && tree.tiedHead() && module.kind() == Kind.HEAD)
                .forEach(linear::add);
    }

    private static List<Owner> owners(ModuleTree tree) {
        Map<String, LinearModule> byName = new HashMap<>();
        tree.modules().forEach(module -> byName.put(module.name(), module));
        Map<String, Map<String, List<Long>>> tensors = new LinkedHashMap<>();
        tree.tensors()
                .forEach((name, shape) -> tensors.computeIfAbsent(parent(name), _ -> new LinkedHashMap<>())
                        .put(name, shape));
        List<Owner> owners = new ArrayList<>();
        tensors.forEach((name, own) -> {
            Optional<LinearModule> module = Optional.ofNullable(byName.get(name));
            owners.add(
                    new Owner(module.map(NameRule::names).orElse(List.of(name)), own, module.map(LinearModule::kind)));
        });
        return owners;
    }

    /** PEFT's second rule: modules named by such an expression never get a low rank. */
    static List<PythonRegex> excluding(LoraConfig config) {
        return config.modulesToSave().stream()
                .map(text -> PythonRegex.inside("(?:^|.*\\.)", text, "(?:$|\\..*)", SETTING))
                .toList();
    }

    /** Whether the module is trained in full, or is kept from a low rank by PEFT's rule. */
    boolean excludes(LinearModule module) {
        return linear.contains(module)
                || NameRule.names(module).stream()
                        .anyMatch(name -> excluding.stream().anyMatch(regex -> regex.matchesWhole(name)));
    }

    /** Whether the module is trained in full. */
    boolean trains(LinearModule module) {
        return linear.contains(module);
    }

    /** Weights and biases in the order of the module tree, norms last; a module's weight before its bias. */
    List<FullTarget> targets() {
        Map<String, FullTarget> targets = new LinkedHashMap<>();
        for (Owner owner : owners) {
            if (!chosen.contains(owner.name())) {
                continue;
            }
            owner.tensors()
                    .forEach((name, shape) -> targets.put(name, new FullTarget(name, shape, Origin.MODULES_TO_SAVE)));
        }
        return List.copyOf(targets.values());
    }

    List<String> warnings() {
        return warnings;
    }

    private void choose(String text) {
        Set<Owner> hit = new LinkedHashSet<>();
        Set<String> inside = new LinkedHashSet<>();
        boolean atDot = false;
        for (Owner owner : owners) {
            for (String name : owner.names()) {
                for (String holder = name; !holder.isEmpty(); holder = parent(holder)) {
                    if (holder.endsWith(text)) {
                        requirePossible(text, owner, holder);
                        hit.add(owner);
                        if (holder.equals(text) || holder.endsWith("." + text)) {
                            atDot = true;
                        } else {
                            inside.add(holder.substring(holder.lastIndexOf('.') + 1));
                        }
                    }
                }
            }
        }
        if (hit.isEmpty()) {
            throw nothingNamed(text);
        }
        if (!inside.isEmpty()) {
            String modules = hit.size() == 1 ? "1 module" : hit.size() + " modules";
            warnings.add(
                    SETTING + ": '" + text + (atDot ? "' also names " : "' names ") + Complaints.list(inside) + " ("
                            + modules + (atDot ? " together" : "")
                            + "): PEFT compares the ends of names without regard to dots"
                            + exactly(text)
                                    .map(end -> "; write '" + end + "' for that alone")
                                    .orElse(""));
        }
        hit.forEach(owner -> chosen.add(orEmbedding(owner).name()));
    }

    private static String parent(String name) {
        return name.substring(0, Math.max(0, name.lastIndexOf('.')));
    }

    /** A longer text that names what this one names at a dot, and nothing else. */
    private Optional<String> exactly(String text) {
        Set<String> ends = new LinkedHashSet<>();
        for (Owner owner : owners) {
            String name = owner.name();
            if (name.endsWith("." + text)) {
                String before = parent(name.substring(0, name.length() - text.length() - 1));
                ends.add(name.substring(before.isEmpty() ? 0 : before.length() + 1));
            }
        }
        return ends.size() == 1 ? ends.stream().findFirst() : Optional.empty();
    }

    private void requirePossible(String text, Owner owner, String holder) {
        if (WHOLE_MODEL.contains(holder)) {
            throw UserException.badInput(
                    SETTING + ": '" + text + "' names " + holder + ", which is the whole model",
                    "name the modules to train in full, for example [model.norm, lm_head]");
        }
        if (owner.is(Kind.EXPERT)) {
            throw UserException.badInput(
                    SETTING + ": '" + text + "' names experts (" + owner.name()
                            + "): experts are too large to be trained in full",
                    "train them by a low rank: target_modules: [experts]");
        }
    }

    private Owner orEmbedding(Owner owner) {
        if (!tree.tiedHead()) {
            return owner;
        }
        boolean head = owner.is(Kind.HEAD);
        Owner embedding = owners.stream()
                .filter(each -> each.is(Kind.EMBEDDING))
                .findFirst()
                .orElseThrow();
        if (head || owner.equals(embedding)) {
            String warning = SETTING + ": embedding and head of this model are one tensor, " + embedding.name()
                    + ".weight, which is trained for both (PEFT does so with ensure_weight_tying: true)";
            if (!warnings.contains(warning)) {
                warnings.add(warning);
            }
        }
        return head ? embedding : owner;
    }

    private UserException nothingNamed(String text) {
        Set<String> known = new LinkedHashSet<>();
        for (Owner owner : owners) {
            if (!owner.is(Kind.EXPERT)) {
                owner.names().forEach(name -> Complaints.addEnds(known, name, text.contains(".")));
            }
        }
        String hint = "did you mean " + Complaints.nearest(text, known) + "?";
        if (ModuleNames.GROUPS.contains(text)) {
            String gate = tree.modules().stream()
                    .filter(module -> module.kind() == Kind.ROUTER)
                    .map(module -> "; the routers are [" + end(module.name()) + "]")
                    .findFirst()
                    .orElse("");
            hint = "groups are for target_modules only; give the ends of names" + gate;
        }
        return UserException.badInput(SETTING + ": '" + text + "' matches no module of this model", hint);
    }

    /** The last two words of a name. */
    private static String end(String name) {
        return name.substring(parent(parent(name)).length() + 1);
    }
}
