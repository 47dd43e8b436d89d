package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import tools.jackson.databind.json.JsonMapper;

/**
 * The README.md beside an adapter: what it is, how it was trained, how to use it.
 *
 * @param data what it was trained on, in words or names of files
 * @param settings hyper-parameters, in this order
 * @param results measured values, in this order; may be empty
 */
public record ModelCard(String data, Map<String, String> settings, Map<String, String> results) {

    private static final JsonMapper JSON = JsonMapper.builder().build();

    public ModelCard {
        settings = new LinkedHashMap<>(settings);
        results = new LinkedHashMap<>(results);
    }

    String text(LoraConfig config, Optional<String> baseModel, AdapterTensors adapter, List<String> warnings) {
        String base = baseModel.orElse("unknown");
        List<AdapterModule> modules = adapter.modules();
        Map<String, Integer> kinds = new TreeMap<>();
        modules.forEach(module -> kinds.merge(module.module().kind().name().toLowerCase(Locale.ROOT), 1, Integer::sum));

        StringBuilder text = new StringBuilder("---\n");
        text.append("base_model: ").append(JSON.writeValueAsString(base)).append('\n');
        text.append("library_name: peft\npipeline_tag: text-generation\ntags:\n");
        text.append("- ")
                .append(JSON.writeValueAsString("base_model:adapter:" + base))
                .append('\n');
        text.append("- lora\n- transformers\n- lora-native\n---\n\n# LoRA adapter\n\n");
        text.append("A LoRA adapter for `")
                .append(base)
                .append("`, trained with lora-native on ")
                .append(data);
        text.append(".\nIt changes ").append(modules.size()).append(" linear modules (");
        text.append(String.join(
                ", ",
                kinds.entrySet().stream()
                        .map(entry -> entry.getValue() + " of kind " + entry.getKey())
                        .toList()));
        text.append(") with ").append(adapter.parameters()).append(" parameters.\n\n## Use\n\n```python\n");
        text.append("from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n");
        text.append("base = AutoModelForCausalLM.from_pretrained(").append(JSON.writeValueAsString(base));
        text.append(")\nmodel = PeftModel.from_pretrained(base, \"path/to/this/folder\")\n```\n");
        for (String warning : warnings) {
            text.append("\nNote: ").append(warning).append(".\n");
        }
        Map<String, String> lora = new LinkedHashMap<>();
        lora.put("r", String.valueOf(config.r()));
        lora.put("lora_alpha", String.valueOf(AdapterConfig.number(config.loraAlpha())));
        lora.put("lora_dropout", String.valueOf(config.loraDropout()));
        lora.put("use_rslora", String.valueOf(config.useRslora()));
        config.targetModules().ifPresent(names -> lora.put("target_modules", names.toString()));
        lora.putAll(settings);
        table(text, "Training", "setting", lora);
        if (!results.isEmpty()) {
            table(text, "Results", "measure", results);
        }
        return text.append("\n### Framework versions\n\n- PEFT 0.21.0 (file format)\n")
                .toString();
    }

    private static void table(StringBuilder text, String title, String heading, Map<String, String> rows) {
        text.append("\n## ").append(title).append("\n\n| ").append(heading).append(" | value |\n|---|---|\n");
        rows.forEach((name, value) -> text.append("| ")
                .append(name)
                .append(" | ")
                .append(value.replace("|", "\\|").replaceAll("\\R", " "))
                .append(" |\n"));
    }
}
