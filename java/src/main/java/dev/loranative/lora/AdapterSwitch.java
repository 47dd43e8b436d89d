package dev.loranative.lora;

import dev.loranative.model.LoadedModel;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Several adapters of one loaded model, of which one or none is active. All of them are on the device; switching touches
 * neither them nor the weights of the base model.
 */
public final class AdapterSwitch {

    private final Map<String, Adapters> loaded = new LinkedHashMap<>();
    private String active;

    /** Puts the adapters on the model's device; none is active yet. */
    public AdapterSwitch(LoadedModel model, Map<String, Adapter> adapters) {
        adapters.forEach((name, adapter) -> {
            loaded.put(name, Adapters.load(model, adapter, 0, false));
            loaded.get(name).detach();
        });
    }

    public Set<String> names() {
        return loaded.keySet();
    }

    /** The one that is active. */
    public Optional<String> active() {
        return Optional.ofNullable(active);
    }

    /**
     * Makes this adapter, and no other, change the model. Not during a pass.
     *
     * @throws IllegalArgumentException if there is no such adapter
     */
    public void use(String name) {
        if (!loaded.containsKey(name)) {
            throw new IllegalArgumentException("no adapter " + name + " among " + loaded.keySet());
        }
        useNone();
        loaded.get(name).reattach();
        active = name;
    }

    /** The base model alone. */
    public void useNone() {
        if (active != null) {
            loaded.get(active).detach();
            active = null;
        }
    }
}
