package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.errors.UserException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What {@link FusedWriter} had to add so that PEFT can take all experts of a layer together, and how to take it away again. An
 * untrained projection has zeros in A and B, an update of smaller rank has zeros behind its own rows of A and columns of B;
 * random A are never zero. An update with another scaling than its layer's has it in B. The file's metadata says so under
 * {@value #KEY}: a JSON object with r and alpha of the updates whose scaling was changed.
 *
 * @param present whether the file was padded
 * @param alphas by module: alpha of an update whose scaling is not its layer's
 */
record ZeroPadding(boolean present, Map<String, Double> alphas, boolean useRslora) {

    static final String KEY = "lora_native_padding";

    private static final JsonMapper JSON = JsonMapper.builder().build();

    static ZeroPadding read(Map<String, String> metadata, boolean useRslora, String file) {
        String text = metadata.get(KEY);
        if (text == null) {
            return new ZeroPadding(false, Map.of(), useRslora);
        }
        Map<String, Double> alphas = new LinkedHashMap<>();
        try {
            for (Map.Entry<String, JsonNode> entry : JSON.readTree(text).properties()) {
                alphas.put(entry.getKey(), entry.getValue().doubleValue());
            }
        } catch (JacksonException e) {
            throw UserException.badInput(
                    file + ": the metadata " + KEY + " is not a JSON object", "the file is damaged: restore it");
        }
        return new ZeroPadding(true, alphas, useRslora);
    }

    static String write(Map<String, Double> alphas) {
        return JSON.writeValueAsString(alphas);
    }

    /** The update without what was added; empty if nothing is left. */
    Optional<AdapterModule> unpad(AdapterModule module) {
        if (!present) {
            return Optional.of(module);
        }
        int in = Math.toIntExact(module.module().in());
        int out = Math.toIntExact(module.module().out());
        int r = module.r();
        while (r > 0 && isZero(module, r - 1, in, out)) {
            r--;
        }
        if (r == 0) {
            return Optional.empty();
        }
        double alpha =
                alphas.getOrDefault(module.name(), useRslora ? module.scaling() * Math.sqrt(r) : module.scaling() * r);
        if (r == module.r() && !alphas.containsKey(module.name())) {
            return Optional.of(module);
        }
        double scaling = LoraConfig.scaling(alpha, r, useRslora);
        float factor = alphas.containsKey(module.name()) ? (float) (module.scaling() / scaling) : 1;
        float[] b = new float[out * r];
        for (int o = 0; o < out; o++) {
            for (int rho = 0; rho < r; rho++) {
                b[o * r + rho] = factor * module.b()[o * module.r() + rho];
            }
        }
        return Optional.of(new AdapterModule(
                module.module(), module.name(), r, alpha, scaling, Arrays.copyOf(module.a(), r * in), b));
    }

    private static boolean isZero(AdapterModule module, int rho, int in, int out) {
        for (int i = 0; i < in; i++) {
            if (module.a()[rho * in + i] != 0) {
                return false;
            }
        }
        for (int o = 0; o < out; o++) {
            if (module.b()[o * module.r() + rho] != 0) {
                return false;
            }
        }
        return true;
    }
}
