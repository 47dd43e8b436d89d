package dev.loranative.model;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.errors.UserException;
import dev.loranative.model.Family.MoeNames;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** The config.json of a quantised model: the old one, and what transformers needs to know to load the weights. */
final class QuantizedConfig {

    private static final String FILE = "config.json";
    private static final String HEAD = "lm_head";

    /** Numbers keep their digits. */
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .build();

    private QuantizedConfig() {}

    static void write(Path from, Path to, QuantizationPlan plan, ModelConfig config) {
        ObjectNode root;
        try {
            root = (ObjectNode) JSON.readTree(Files.readString(from.resolve(FILE)));
        } catch (IOException e) {
            throw new UserException(
                    "cannot read " + from.resolve(FILE) + ": " + e.getMessage(),
                    "check that the file may be read by this user",
                    UserException.BAD_INPUT,
                    e);
        }
        if (plan.stored().isEmpty()) {
            describe(root.putObject("quantization_config"), plan.options(), config);
        }
        AtomicFiles.writeString(
                to.resolve(FILE), JSON.writerWithDefaultPrettyPrinter().writeValueAsString(root) + "\n");
    }

    /** Keys and order of transformers' {@code BitsAndBytesConfig}. */
    private static void describe(ObjectNode node, QuantizationOptions options, ModelConfig config) {
        node.put("_load_in_4bit", true);
        node.put("_load_in_8bit", false);
        node.put(
                "bnb_4bit_compute_dtype",
                options.computeDtype().or(config::dtype).orElse("float32"));
        node.put("bnb_4bit_quant_storage", options.storage());
        node.put("bnb_4bit_quant_type", options.type());
        node.put("bnb_4bit_use_double_quant", options.doubleQuantization());
        node.put("llm_int8_enable_fp32_cpu_offload", false);
        node.put("llm_int8_has_fp16_weight", false);
        List<String> kept = kept(options, config);
        boolean usual = kept.equals(List.of(HEAD));
        if (usual) {
            node.putNull("llm_int8_skip_modules");
        } else {
            kept.forEach(node.putArray("llm_int8_skip_modules")::add);
        }
        node.put("llm_int8_threshold", 6.0);
        node.put("load_in_4bit", true);
        node.put("load_in_8bit", false);
        node.put("quant_method", "bitsandbytes");
    }

    /**
     * What is not in 4 bits, in transformers' sense. A list takes the place of its default, which is the head; without
     * one it would also expect 4-bit routers where these are linear layers to it.
     */
    private static List<String> kept(QuantizationOptions options, ModelConfig config) {
        List<String> kept = new ArrayList<>();
        if (!options.head()) {
            kept.add(HEAD);
        }
        config.moe().ifPresent(_ -> {
            MoeNames names = TensorNames.of(config.family()).moe();
            kept.add(names.block() + ".gate");
        });
        kept.addAll(options.skipModules());
        return kept;
    }
}
