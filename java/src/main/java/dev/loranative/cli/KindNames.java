package dev.loranative.cli;

import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The ends of names that name the modules of a kind: "find all linear names" and "find the router layers", answered. */
final class KindNames {

    /** What can be listed, and the kinds that it means. */
    private static final Map<String, Set<Kind>> LISTS = kinds();

    private KindNames() {}

    private static Map<String, Set<Kind>> kinds() {
        Map<String, Set<Kind>> lists = new LinkedHashMap<>();
        lists.put("linear", EnumSet.of(Kind.ATTENTION, Kind.MLP, Kind.EXPERT));
        lists.put("attention", EnumSet.of(Kind.ATTENTION));
        lists.put("mlp", EnumSet.of(Kind.MLP));
        lists.put("router", EnumSet.of(Kind.ROUTER));
        lists.put("experts", EnumSet.of(Kind.EXPERT));
        lists.put("embedding", EnumSet.of(Kind.EMBEDDING));
        lists.put("head", EnumSet.of(Kind.HEAD));
        return lists;
    }

    static Set<String> lists() {
        return LISTS.keySet();
    }

    /** Ends of names, each once; a second word stands before those that modules of other kinds have too. */
    static List<String> of(List<LinearModule> modules, String list) {
        Set<Kind> kinds = LISTS.get(list);
        Set<String> others = new LinkedHashSet<>();
        modules.stream().filter(module -> !kinds.contains(module.kind())).forEach(module -> others.add(end(module, 1)));
        Set<String> names = new LinkedHashSet<>();
        for (LinearModule module : modules) {
            if (kinds.contains(module.kind())) {
                boolean ambiguous = others.contains(end(module, 1)) && module.kind() != Kind.EXPERT;
                names.add(end(module, ambiguous ? 2 : 1));
            }
        }
        return List.copyOf(names);
    }

    private static String end(LinearModule module, int words) {
        String name = module.name();
        int dot = name.length();
        for (int word = 0; word < words && dot > 0; word++) {
            dot = name.lastIndexOf('.', dot - 1);
        }
        return name.substring(dot + 1);
    }
}
