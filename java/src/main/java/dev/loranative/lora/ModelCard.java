package dev.loranative.lora;

import dev.loranative.config.BiasTraining;
import dev.loranative.config.LoraConfig;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import tools.jackson.databind.json.JsonMapper;

/**
 * The README.md beside an adapter, with the front matter of PEFT's: what it is, how it was trained, how to use it.
 *
 * @param baseContent what tells the base model from others of its name, as {@code ContentHash} writes it; empty if not known
 * @param data what it was trained on, a line each
 * @param settings hyper-parameters, in this order
 * @param results measured values, in this order; may be empty
 * @param versions of what made it, by name
 */
public record ModelCard(
        String baseContent,
        List<String> data,
        Map<String, String> settings,
        Map<String, String> results,
        Map<String, String> versions) {

    private static final JsonMapper JSON = JsonMapper.builder().build();

    public ModelCard {
        data = List.copyOf(data);
        settings = new LinkedHashMap<>(settings);
        results = new LinkedHashMap<>(results);
        versions = new LinkedHashMap<>(versions);
    }

    /** Of an adapter whose base model's contents are not known. */
    public ModelCard(String data, Map<String, String> settings, Map<String, String> results) {
        this("", List.of("trained on " + data), settings, results, Map.of());
    }

    String text(LoraConfig config, Optional<String> baseModel, AdapterTensors adapter, List<String> warnings) {
        String base = baseModel.orElse("unknown");
        StringBuilder text = new StringBuilder("---\n");
        text.append("base_model: ").append(JSON.writeValueAsString(base)).append('\n');
        text.append("library_name: peft\npipeline_tag: text-generation\ntags:\n");
        text.append("- ")
                .append(JSON.writeValueAsString("base_model:adapter:" + base))
                .append('\n');
        text.append("- lora\n- transformers\n- lora-native\n---\n\n# LoRA adapter\n\n");
        text.append("An adapter for `").append(base).append("`, trained with lora-native. It changes ");
        text.append(String.join(", ", changes(adapter))).append(": ");
        text.append(adapter.parameters()).append(" parameters.\n");
        if (!baseContent.isEmpty()) {
            text.append("\nContent of the base model: `").append(baseContent).append("`");
            text.append(
                    baseContent.startsWith("sha256-blocks:")
                            ? " (of config.json and of every tensor's name, type, shape and four blocks of its data).\n"
                            : " (of config.json and of every tensor's name, type, shape and data).\n");
        }
        text.append("\n## Use\n\n```python\n");
        text.append("from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n");
        text.append("base = AutoModelForCausalLM.from_pretrained(").append(JSON.writeValueAsString(base));
        text.append(")\nmodel = PeftModel.from_pretrained(base, \"path/to/this/folder\")\n```\n");
        for (String warning : warnings) {
            text.append("\nNote: ").append(warning).append(".\n");
        }
        text.append("\n## Data\n\n");
        data.forEach(line -> text.append("- ").append(oneLine(line)).append('\n'));
        Map<String, String> lora = adapterSettings(config);
        lora.putAll(settings);
        table(text, "Training", "setting", lora);
        if (!results.isEmpty()) {
            table(text, "Results", "measure", results);
        }
        text.append("\n### Framework versions\n\n- PEFT 0.21.0 (file format)\n");
        versions.forEach((name, version) ->
                text.append("- ").append(name).append(' ').append(version).append('\n'));
        return text.toString();
    }

    private static List<String> changes(AdapterTensors adapter) {
        Map<String, Integer> kinds = new TreeMap<>();
        adapter.modules()
                .forEach(
                        module -> kinds.merge(module.module().kind().name().toLowerCase(Locale.ROOT), 1, Integer::sum));
        List<String> changes = new ArrayList<>();
        kinds.forEach((kind, count) -> changes.add(count + " linear modules of kind " + kind + " by a low rank"));
        if (!adapter.full().isEmpty()) {
            changes.add(adapter.full().size() + " tensors in full (`"
                    + adapter.full().getFirst().name() + "`" + (adapter.full().size() > 1 ? ", …)" : ")"));
        }
        adapter.tokens().forEach(rows -> changes.add(rows.indices().size() + " rows of `" + rows.module() + "`"));
        return changes;
    }

    private static Map<String, String> adapterSettings(LoraConfig config) {
        Map<String, String> lora = new LinkedHashMap<>();
        lora.put("r", String.valueOf(config.r()));
        lora.put("lora_alpha", String.valueOf(AdapterConfig.number(config.loraAlpha())));
        lora.put("lora_dropout", String.valueOf(config.loraDropout()));
        lora.put("use_rslora", String.valueOf(config.useRslora()));
        config.targetModules().ifPresent(names -> lora.put("target_modules", names.toString()));
        config.excludeModules().ifPresent(names -> lora.put("exclude_modules", names.toString()));
        putUnlessEmpty(lora, "target_parameters", config.targetParameters());
        putUnlessEmpty(lora, "layers_to_transform", config.layersToTransform());
        putUnlessEmpty(lora, "modules_to_save", config.modulesToSave());
        if (!config.rankPattern().isEmpty()) {
            lora.put("rank_pattern", config.rankPattern().toString());
        }
        if (!config.alphaPattern().isEmpty()) {
            lora.put("alpha_pattern", config.alphaPattern().toString());
        }
        if (config.useDora()) {
            lora.put("use_dora", "true");
        }
        if (config.loraBias()) {
            lora.put("lora_bias", "true");
        }
        if (config.bias() != BiasTraining.NONE) {
            lora.put("bias", config.bias().name().toLowerCase(Locale.ROOT));
        }
        if (config.shareExpertAdapters()) {
            lora.put("share_expert_adapters", "true");
        }
        return lora;
    }

    private static void putUnlessEmpty(Map<String, String> lora, String name, List<?> values) {
        if (!values.isEmpty()) {
            lora.put(name, values.toString());
        }
    }

    private static void table(StringBuilder text, String title, String heading, Map<String, String> rows) {
        text.append("\n## ").append(title).append("\n\n| ").append(heading).append(" | value |\n|---|---|\n");
        rows.forEach((name, value) -> text.append("| ")
                .append(name)
                .append(" | ")
                .append(oneLine(value).replace("|", "\\|"))
                .append(" |\n"));
    }

    private static String oneLine(String text) {
        return text.replaceAll("\\R", " ");
    }
}
