package dev.loranative.cli;

import dev.loranative.model.LinearModule;
import dev.loranative.model.ModuleTree;
import java.util.List;
import java.util.Locale;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * What a model consists of, what of it would be trained, and what could be.
 *
 * @param parameters of the model; a tied head counts once
 * @param trainable empty if nobody asked
 * @param suggestions empty if somebody asked
 * @param warnings about what was asked
 */
record Inspection(
        ModuleTree tree, long parameters, Trainable trainable, List<Suggestion> suggestions, List<String> warnings) {

    List<LinearModule> modules() {
        return tree.modules();
    }

    double share(long part) {
        return (double) part / parameters;
    }

    /** {@code mlp.gate} is a {@code router}, whatever its name. */
    static String kind(LinearModule module) {
        return module.kind().name().toLowerCase(Locale.ROOT);
    }

    ObjectNode json() {
        ObjectNode json = Console.JSON
                .createObjectNode()
                .put("model_type", tree.modelType())
                .put("parameters", parameters);
        ArrayNode all = json.putArray("modules");
        for (LinearModule module : modules()) {
            ObjectNode entry = all.addObject().put("name", module.name()).put("kind", kind(module));
            entry.putArray("shape").add(module.out()).add(module.in());
        }
        ArrayNode trained = json.putArray("trainable");
        for (Trainable.LowRank target : trainable.modules()) {
            trained.addObject()
                    .put("name", target.name())
                    .put("r", target.r())
                    .put("alpha", target.alpha())
                    .put("parameters", target.parameters());
        }
        json.put("trainable_parameters", trainable.parameters());
        addFull(json);
        costs(json.putObject("bytes"), trainable);
        ObjectNode names = json.putObject("names");
        for (String list : KindNames.lists()) {
            ArrayNode ends = names.putArray(list);
            KindNames.of(modules(), list).forEach(ends::add);
        }
        addSuggestions(json);
        ArrayNode messages = json.putArray("warnings");
        warnings.forEach(messages::add);
        return json;
    }

    private void addFull(ObjectNode json) {
        ArrayNode full = json.putArray("full");
        for (Trainable.Full tensor : trainable.full()) {
            ObjectNode entry = full.addObject().put("name", tensor.name());
            ArrayNode shape = entry.putArray("shape");
            tensor.shape().forEach(shape::add);
            entry.put("parameters", tensor.parameters()).put("setting", tensor.setting());
        }
        ArrayNode tokens = json.putArray("tokens");
        for (Trainable.Rows rows : trainable.rows()) {
            ObjectNode entry = tokens.addObject().put("name", rows.module());
            ArrayNode indices = entry.putArray("indices");
            rows.indices().forEach(indices::add);
            entry.put("parameters", rows.parameters());
        }
    }

    private void addSuggestions(ObjectNode json) {
        ArrayNode array = json.putArray("suggestions");
        for (Suggestion suggestion : suggestions) {
            ObjectNode entry = array.addObject().put("name", suggestion.name());
            ArrayNode targets = entry.putArray("target_modules");
            suggestion.targets().forEach(targets::add);
            entry.put("r", suggestion.r())
                    .put("lora_alpha", suggestion.alpha())
                    .put("flags", suggestion.flags())
                    .put("modules", suggestion.trainable().modules().size())
                    .put("parameters", suggestion.trainable().parameters())
                    .put("share", share(suggestion.trainable().parameters()));
            costs(entry.putObject("bytes"), suggestion.trainable());
            ObjectNode byRank = entry.putObject("parameters_by_rank");
            for (int r : Suggestion.usualRanks()) {
                byRank.put(
                        String.valueOf(r),
                        suggestion.withRank(r, tree).trainable().parameters());
            }
        }
    }

    private static void costs(ObjectNode json, Trainable trainable) {
        json.put("adapter", trainable.adapterBytes())
                .put("gradients", trainable.gradientBytes())
                .put("optimizer", trainable.optimizerBytes());
    }
}
