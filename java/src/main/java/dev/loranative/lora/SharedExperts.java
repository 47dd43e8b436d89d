package dev.loranative.lora;

import dev.loranative.lora.ExpertGroup.Role;
import dev.loranative.model.LinearModule;
import dev.loranative.model.ModuleTree;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** The promise of {@code share_expert_adapters}: a layer's experts have the same update, which the file repeats. */
final class SharedExperts {

    private SharedExperts() {}

    static void check(AdapterSource source, ModuleTree tree, Map<LinearModule, AdapterModule> found) {
        if (!source.config().lora().shareExpertAdapters()) {
            return;
        }
        for (ExpertGroup group : ExpertGroup.of(tree)) {
            for (Role role : Role.values()) {
                List<AdapterModule> updates = group.experts().get(role).stream()
                        .filter(found::containsKey)
                        .map(found::get)
                        .toList();
                for (AdapterModule update : updates) {
                    AdapterModule first = updates.getFirst();
                    if (updates.size() != group.count()
                            || !Arrays.equals(update.a(), first.a())
                            || !Arrays.equals(update.b(), first.b())) {
                        throw source.bad(
                                update.name() + " differs from " + first.name() + ", but the file says "
                                        + AdapterFiles.SHARED_EXPERTS + ": true",
                                "the file is damaged, or was changed: take its metadata away to train the experts apart");
                    }
                }
            }
        }
    }
}
