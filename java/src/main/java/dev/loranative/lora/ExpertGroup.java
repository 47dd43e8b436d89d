package dev.loranative.lora;

import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The routed experts of one layer. Since transformers 5 they are two weights: {@code gate_up_proj} [experts, 2·inner, hidden],
 * the gate's rows first, and {@code down_proj} [experts, hidden, inner].
 *
 * @param name as in the checkpoint: {@code model.layers.0.mlp.experts}
 * @param memoryName as transformers 5 spells it
 * @param experts by role, each list in the order of the experts
 */
record ExpertGroup(String name, String memoryName, Map<Role, List<LinearModule>> experts) {

    /** What a projection of an expert is for. */
    enum Role {
        GATE,
        UP,
        DOWN;

        static Role of(LinearModule expert) {
            return switch (leaf(expert.name())) {
                case "gate_proj", "w1" -> GATE;
                case "up_proj", "w3" -> UP;
                default -> DOWN;
            };
        }
    }

    /** A weight that all experts share. */
    enum Fused {
        GATE_UP("gate_up_proj", List.of(Role.GATE, Role.UP)),
        DOWN("down_proj", List.of(Role.DOWN));

        private final String leaf;
        private final List<Role> roles;

        Fused(String leaf, List<Role> roles) {
            this.leaf = leaf;
            this.roles = roles;
        }

        String leaf() {
            return leaf;
        }

        /** The projections whose rows follow each other in it. */
        List<Role> roles() {
            return roles;
        }
    }

    static List<ExpertGroup> of(ModuleTree tree) {
        Map<String, ExpertGroup> groups = new LinkedHashMap<>();
        for (LinearModule module : tree.modules()) {
            if (module.kind() == Kind.EXPERT) {
                String memory = module.aliases().isEmpty()
                        ? module.name()
                        : module.aliases().getFirst();
                groups.computeIfAbsent(
                                container(module.name()),
                                name -> new ExpertGroup(name, container(memory), new EnumMap<>(Role.class)))
                        .experts()
                        .computeIfAbsent(Role.of(module), _ -> new ArrayList<>())
                        .add(module);
            }
        }
        return List.copyOf(groups.values());
    }

    int count() {
        return experts.get(Role.DOWN).size();
    }

    /** Columns of an expert's part of the weight. */
    long in(Fused weight) {
        return experts.get(weight.roles().getFirst()).getFirst().in();
    }

    /** Rows of an expert's part of the weight. */
    long out(Fused weight) {
        return weight.roles().stream()
                .mapToLong(role -> experts.get(role).getFirst().out())
                .sum();
    }

    /** The weight's name, to which {@code target_parameters} and the patterns refer. */
    String parameter(Fused weight) {
        return memoryName + "." + weight.leaf();
    }

    /** {@code model.layers.0.mlp.experts} of {@code model.layers.0.mlp.experts.3.up_proj}. */
    static String container(String expert) {
        return expert.substring(0, expert.lastIndexOf('.', expert.lastIndexOf('.') - 1));
    }

    static String leaf(String name) {
        return name.substring(name.lastIndexOf('.') + 1);
    }
}
