package dev.loranative.lora.merge;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Which files hold a merged model: the base model's own, or files up to a size, filled in order. */
final class ShardLayout {

    private ShardLayout() {}

    /** One file gets the name that every tool knows; several keep theirs. */
    static MergePlan asBase(MergePlan plan) {
        if (plan.shards().size() != 1) {
            return plan;
        }
        MergePlan.Shard only = plan.shards().getFirst();
        return new MergePlan(
                List.of(new MergePlan.Shard("model.safetensors", only.tensors(), only.metadata())), plan.untied());
    }

    /** Files of at most {@code maxBytes}; a larger tensor has a file of its own. Names as transformers gives them. */
    static MergePlan split(MergePlan plan, long maxBytes) {
        List<List<MergedTensor>> groups = new ArrayList<>();
        List<MergedTensor> group = new ArrayList<>();
        long bytes = 0;
        for (MergedTensor tensor : plan.tensors()) {
            if (!group.isEmpty() && bytes + tensor.plan().bytes() > maxBytes) {
                groups.add(group);
                group = new ArrayList<>();
                bytes = 0;
            }
            group.add(tensor);
            bytes += tensor.plan().bytes();
        }
        groups.add(group);
        Map<String, String> metadata = plan.shards().getFirst().metadata();
        List<MergePlan.Shard> shards = new ArrayList<>();
        for (int i = 0; i < groups.size(); i++) {
            String file = String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", i + 1, groups.size());
            shards.add(new MergePlan.Shard(file, groups.get(i), metadata));
        }
        return asBase(new MergePlan(shards, plan.untied()));
    }
}
