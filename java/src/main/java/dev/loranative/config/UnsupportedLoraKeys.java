package dev.loranative.config;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** Fields of PEFT 0.21's {@code LoraConfig} that are known and refused: PEFT's default and what means nothing are accepted. */
final class UnsupportedLoraKeys {

    private static final String VARIANT = "of PEFT's variants of LoRA only DoRA is there (use_dora)";
    private static final String INIT = "this initialisation is not there";

    static final List<Key<?>> ALL = all();

    private UnsupportedLoraKeys() {}

    private static List<Key<?>> all() {
        List<Key<?>> keys = new ArrayList<>();
        keys.add(nothing(
                "layer_replication",
                "the model would get more layers than its checkpoint, and no other program would read it; copy the"
                        + " layers in the checkpoint itself"));
        keys.add(nothing("megatron_config", "models of Megatron cannot be read"));
        keys.add(fixed("megatron_core", "megatron.core", "models of Megatron cannot be read"));
        keys.add(fixed("use_qalora", false, "it is for GPTQ models, which cannot be read"));
        keys.add(fixed("qalora_group_size", 16, "it is for GPTQ models, which cannot be read"));
        keys.add(nothing("alora_invocation_tokens", VARIANT));
        keys.add(nothing("arrow_config", VARIANT));
        keys.add(nothing("kasa_config", VARIANT));
        keys.add(nothing("monteclora_config", VARIANT));
        keys.add(nothing("use_bdlora", VARIANT));
        keys.add(nothing("velora_config", VARIANT));
        keys.add(nothing("corda_config", INIT));
        keys.add(nothing("lora_ga_config", INIT));
        keys.add(nothing("runtime_config", "it moves weights between devices, which happens by itself here"));
        return List.copyOf(keys);
    }

    private static Key<Object> nothing(String name, String why) {
        return fixed(name, null, why);
    }

    private static Key<Object> fixed(String name, Object standard, String why) {
        return Key.of("LoRA", name, Scalars.anything(), standard, "")
                .orNull()
                .supportedIf(given -> Objects.equals(given, standard) || isNothing(given))
                .because(why);
    }

    private static boolean isNothing(Object value) {
        return switch (value) {
            case null -> true;
            case Boolean flag -> !flag;
            case String text -> text.equalsIgnoreCase("false");
            case List<?> list -> list.isEmpty();
            case Map<?, ?> map -> map.values().stream().allMatch(UnsupportedLoraKeys::isNothing);
            default -> false;
        };
    }
}
