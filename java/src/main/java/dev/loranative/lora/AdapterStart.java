package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import java.util.Map;

/**
 * Where the training of new adapters begins.
 *
 * @param lora whose {@code init_lora_weights} holds
 * @param seed of what is drawn
 * @param directions values of A, [r, in], by module name, which then are not drawn
 */
public record AdapterStart(LoraConfig lora, long seed, Map<String, float[]> directions) {

    public AdapterStart {
        directions = Map.copyOf(directions);
    }

    public AdapterStart(LoraConfig lora, long seed) {
        this(lora, seed, Map.of());
    }
}
