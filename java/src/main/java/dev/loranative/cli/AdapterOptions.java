package dev.loranative.cli;

import dev.loranative.config.ConfigValues;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterFiles;
import dev.loranative.lora.merge.AdapterCombination;
import dev.loranative.lora.merge.AdapterCombination.Weighted;
import dev.loranative.model.ModuleTree;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Which adapters a command was given, and what to do with them: {@code --adapter DIR}, or {@code --adapter NAME=DIR}
 * several times with {@code --use} or {@code --adapter-weights}.
 *
 * @param folders by name, in the order given; may be empty
 * @param weights one for each adapter; empty: not combined
 * @param used names in the order of their turns; empty: not said
 */
record AdapterOptions(
        Map<String, Path> folders, List<Double> weights, AdapterCombination.Type type, List<String> used) {

    /** The name of no adapter: the base model alone. */
    static final String BASE = "base";

    /** The name of several adapters with weights. */
    static final String COMBINED = "combined";

    private static final Pattern NAMED = Pattern.compile("([A-Za-z0-9_.-]+)=(.+)");

    static AdapterOptions from(ConfigValues values, boolean mayUse) {
        Map<String, Path> folders = new LinkedHashMap<>();
        List<Path> given = values.get(CommandKeys.ADAPTERS);
        for (Path path : given == null ? List.<Path>of() : given) {
            add(folders, path);
        }
        List<Double> weights = values.get(CommandKeys.ADAPTER_WEIGHTS);
        List<String> used = mayUse ? values.get(CommandKeys.USE) : null;
        AdapterOptions options = new AdapterOptions(
                folders,
                weights == null ? List.of() : weights,
                values.get(CommandKeys.COMBINATION_TYPE),
                used == null ? List.of() : used);
        options.check(mayUse, values.isSet(CommandKeys.COMBINATION_TYPE));
        return options;
    }

    private static void add(Map<String, Path> folders, Path path) {
        Matcher named = NAMED.matcher(path.toString());
        boolean hasName = !Files.exists(path) && named.matches();
        Path folder = hasName ? Path.of(named.group(2)) : path;
        Path last = folder.toAbsolutePath().normalize().getFileName();
        String name = hasName ? named.group(1) : last == null ? "adapter" : last.toString();
        if (folders.containsKey(name)) {
            throw UserException.badInput(
                    "two adapters are called '" + name + "': " + folders.get(name) + " and " + folder,
                    "give them names: --adapter a=" + folders.get(name) + " --adapter b=" + folder);
        }
        if (name.equals(BASE) && hasName) {
            throw UserException.badInput(
                    "an adapter cannot be called '" + BASE + "', which is the model without adapter",
                    "choose another name");
        }
        folders.put(name, folder);
    }

    private void check(boolean mayUse, boolean typeGiven) {
        if (!weights.isEmpty() && weights.size() != folders.size()) {
            throw UserException.badInput(
                    "--adapter-weights has " + weights.size() + " numbers for " + folders.size() + " adapters",
                    "give one for each --adapter, in their order");
        }
        if (!weights.isEmpty() && !used.isEmpty()) {
            throw UserException.badInput(
                    "--use and --adapter-weights are given, but adapters are either used in turn or combined",
                    "keep one of them");
        }
        if (weights.isEmpty() && typeGiven) {
            throw UserException.badInput(
                    "--combination-type is given without --adapter-weights", "give one weight for each --adapter");
        }
        if (folders.size() > 1 && weights.isEmpty() && used.isEmpty()) {
            throw UserException.badInput(
                    folders.size() + " adapters are given: " + String.join(", ", folders.keySet()),
                    (mayUse ? "say which: --use " + folders.keySet().iterator().next() + "; or " : "")
                            + "combine them: --adapter-weights 0.5,0.5");
        }
        for (String name : used) {
            if (!name.equals(BASE) && !folders.containsKey(name)) {
                throw UserException.badInput(
                        "--use names '" + name + "', but the adapters are "
                                + (folders.isEmpty() ? "none" : String.join(", ", folders.keySet())),
                        "name one of them, or " + BASE + " for the model without adapter");
            }
        }
    }

    /** Names in the order of their turns, at least one; {@link #BASE} where there is no adapter. */
    List<String> turns() {
        if (!weights.isEmpty()) {
            return List.of(COMBINED);
        }
        if (!used.isEmpty()) {
            return used;
        }
        return folders.isEmpty() ? List.of(BASE) : List.copyOf(folders.keySet());
    }

    /** The adapters of all turns but {@link #BASE}, read and checked; combined ones are one. */
    Map<String, Adapter> read(ModuleTree tree, Console console) {
        Map<String, Adapter> adapters = new LinkedHashMap<>();
        folders.forEach((name, folder) -> {
            if (!weights.isEmpty() || turns().contains(name)) {
                Adapter adapter = AdapterFiles.read(folder, tree);
                adapter.warnings().forEach(console::warning);
                adapters.put(name, adapter);
            }
        });
        return weights.isEmpty() ? adapters : Map.of(COMBINED, combined(adapters, tree));
    }

    private Adapter combined(Map<String, Adapter> adapters, ModuleTree tree) {
        List<Weighted> weighted = new ArrayList<>();
        adapters.forEach((name, adapter) -> weighted.add(new Weighted(name, adapter, weights.get(weighted.size()))));
        return AdapterCombination.combine(weighted, type, tree);
    }
}
