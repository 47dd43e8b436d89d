package dev.loranative.model;

import dev.loranative.errors.ParserMessage;
import dev.loranative.errors.UserException;
import dev.loranative.model.Family.Defaults;
import dev.loranative.model.Family.Moe;
import dev.loranative.nn.RopeParameters;
import dev.loranative.tensor.Activation;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Reads config.json as transformers does: the same defaults for absent keys, both spellings of renamed ones. An option
 * that would change the numbers and that this engine does not have is an error, not ignored.
 */
public final class ModelConfigReader {

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
            .build();

    private static final String BITSANDBYTES = "bitsandbytes";

    private final JsonFields config;
    private final Family family;
    private final Defaults defaults;
    private final int layers;

    private ModelConfigReader(JsonFields config, Family family) {
        this.config = config;
        this.family = family;
        this.defaults = family.defaults();
        this.layers = config.integer("num_hidden_layers", defaults.layers());
        ModelConfig.requirePositive(layers, "num_hidden_layers");
        // A limit far above any model, so that a broken number does not fill the memory with layers.
        if (layers > 100_000) {
            throw ModelConfig.wrong("num_hidden_layers is " + layers + ", too many");
        }
    }

    /**
     * Reads the configuration of a model.
     *
     * @param directory the model's folder
     * @throws UserException if there is no config.json, it is not JSON, a value is wrong, or the model is not supported
     */
    public static ModelConfig read(Path directory) {
        Path file = directory.resolve("config.json");
        if (!Files.isRegularFile(file) && !Files.isDirectory(directory)) {
            throw UserException.badInput(
                    directory + " is no folder", "give a model's folder as on the hub; nothing is downloaded");
        }
        return parse(text(file), file.toString());
    }

    /**
     * Reads the text of a configuration.
     *
     * @param file config.json
     * @throws UserException if there is no such file, or it cannot be read
     */
    public static String text(Path file) {
        if (!Files.isRegularFile(file)) {
            throw UserException.badInput(
                    (file.getParent() == null ? "." : file.getParent()) + " holds no " + file.getFileName(),
                    "give a model's folder as on the hub; nothing is downloaded");
        }
        try {
            return Files.readString(file);
        } catch (CharacterCodingException e) {
            throw UserException.badInput(
                    file + " is not UTF-8 text", "save it as UTF-8, or copy it again from where the model came from");
        } catch (IOException e) {
            throw new UserException(
                    "cannot read " + file + ": " + e,
                    "check that it is a text file that may be read by this user",
                    UserException.BAD_INPUT,
                    e);
        }
    }

    /**
     * Reads a configuration's text.
     *
     * @param place what to call the text in messages
     */
    public static ModelConfig parse(String text, String place) {
        try {
            JsonNode root = JSON.readTree(text);
            if (!root.isObject()) {
                throw ModelConfig.wrong("it is not a JSON object");
            }
            JsonFields config = new JsonFields(root, "");
            String modelType = config.text("model_type").orElseThrow(() -> ModelConfig.wrong("model_type is missing"));
            return new ModelConfigReader(config, Families.named(modelType)).read();
        } catch (JacksonException e) {
            String line = e.getLocation() == null ? "" : ":" + e.getLocation().getLineNr();
            String problem = ParserMessage.plain(e.getOriginalMessage());
            throw UserException.badInput(
                    place + line + ": " + problem,
                    "the file must be JSON; copy it again from where the model came from");
        } catch (UserException e) {
            throw new UserException(place + ": " + e.getMessage(), e.hint(), e.exitCode(), e);
        }
    }

    private ModelConfig read() {
        rejectWhatIsMissingHere();
        int hiddenSize = config.integer("hidden_size", defaults.hiddenSize());
        int heads = config.integer("num_attention_heads", defaults.heads());
        int maxPositionEmbeddings = config.integer("max_position_embeddings", defaults.maxPositionEmbeddings());
        ModelConfig.requirePositive(maxPositionEmbeddings, "max_position_embeddings");
        ModelConfig.requirePositive(heads, "num_attention_heads");
        RopeParameters rope = RopeReader.read(config, defaults.ropeTheta(), maxPositionEmbeddings);
        int intermediateSize = config.integer("intermediate_size", defaults.intermediateSize());
        return new ModelConfig(
                family,
                config.integer("vocab_size", defaults.vocabSize()),
                hiddenSize,
                intermediateSize,
                layers,
                heads,
                kvHeads(heads),
                headDim(hiddenSize, heads),
                maxPositionEmbeddings,
                config.number("rms_norm_eps", defaults.rmsNormEps()),
                rope,
                activation(),
                config.flag("tie_word_embeddings", false),
                qkvBias(),
                switch (family.biases()) {
                    case ATTENTION_KEY, ATTENTION_AND_MLP_KEYS -> config.flag("attention_bias", false);
                    case NONE, QKV, QKV_KEY -> false;
                },
                family.biases() == Family.Biases.ATTENTION_AND_MLP_KEYS && config.flag("mlp_bias", false),
                new WindowReader(config, family, layers).read(),
                clipQkv(),
                family.moe().flatMap(moe -> moe(moe, intermediateSize)),
                config.text("dtype").or(() -> config.text("torch_dtype")),
                // Other formats were refused above.
                config.object("quantization_config").isPresent());
    }

    private void rejectWhatIsMissingHere() {
        config.object("quantization_config").ifPresent(ModelConfigReader::requireFourBits);
        for (String key : List.of("attention_dropout", "router_jitter_noise")) {
            if (config.number(key, 0) != 0) {
                throw UserException.badInput(
                        key + " is " + config.node(key) + ", but this kind of noise is not supported",
                        "set it to 0.0 in config.json to train without it");
            }
        }
    }

    /** Which weights are in 4 bits, and how, the checkpoint itself says; here only what is none of its formats. */
    private static void requireFourBits(JsonFields quantization) {
        boolean eightBits = quantization.flag("load_in_8bit", false);
        // Old files leave the method out.
        String absent = eightBits || quantization.flag("load_in_4bit", false) ? BITSANDBYTES : "an unknown method";
        String method = quantization.text("quant_method").orElse(absent);
        if (!method.startsWith(BITSANDBYTES) || eightBits || method.endsWith("8bit")) {
            throw UserException.badInput(
                    "quantization_config says that the weights are quantised by " + method
                            + (eightBits ? " in 8 bits" : ""),
                    "of the quantised formats only bitsandbytes' 4 bits (nf4, fp4) are read;"
                            + " use the model in bfloat16, float16 or float32");
        }
    }

    private int kvHeads(int heads) {
        String key = "num_key_value_heads";
        int absent = config.mentions(key) || defaults.kvHeads() == 0 ? heads : defaults.kvHeads();
        return config.integer(key, absent);
    }

    private int headDim(int hiddenSize, int heads) {
        OptionalInt headDim = config.integer("head_dim");
        if (headDim.isPresent()) {
            return headDim.getAsInt();
        }
        if (defaults.headDim() > 0) {
            return defaults.headDim();
        }
        if (hiddenSize % heads != 0) {
            throw ModelConfig.wrong("hidden_size (" + hiddenSize + ") is not a multiple of num_attention_heads ("
                    + heads + "), and there is no head_dim");
        }
        return hiddenSize / heads;
    }

    private Activation activation() {
        String name = config.text("hidden_act").orElse("silu");
        return switch (name) {
            case "silu", "swish" -> Activation.SILU;
            case "gelu_pytorch_tanh", "gelu_new", "gelu_python_tanh" -> Activation.GELU_TANH;
            case "gelu", "gelu_python" -> Activation.GELU_ERF;
            default ->
                throw UserException.badInput(
                        "hidden_act '" + name + "' is not supported",
                        "supported are silu, gelu and gelu_pytorch_tanh; use another model");
        };
    }

    private boolean qkvBias() {
        return switch (family.biases()) {
            case NONE -> false;
            case QKV -> true;
            case QKV_KEY -> config.flag("qkv_bias", true);
            case ATTENTION_KEY, ATTENTION_AND_MLP_KEYS -> config.flag("attention_bias", false);
        };
    }

    private double clipQkv() {
        if (!family.clipsQkv() || !config.has("clip_qkv")) {
            return 0;
        }
        double clip = config.number("clip_qkv", 0);
        if (!(clip > 0)) {
            throw ModelConfig.wrong("clip_qkv is " + clip + ", but must be positive or null");
        }
        return clip;
    }

    private Optional<MoeConfig> moe(Moe moe, int denseIntermediateSize) {
        int experts = experts(moe);
        int step = moe.denseLayers() ? config.integer("decoder_sparse_step", 1) : 1;
        ModelConfig.requirePositive(step, "decoder_sparse_step");
        List<Integer> dense = moe.denseLayers() ? config.integers("mlp_only_layers") : List.of();
        List<Boolean> sparse = IntStream.range(0, layers)
                .mapToObj(layer -> !dense.contains(layer) && (layer + 1) % step == 0)
                .toList();
        if (!sparse.contains(true) || (moe.denseLayers() && experts == 0)) {
            return Optional.empty();
        }
        int width = moe.intermediateSize() == 0 ? denseIntermediateSize : moe.intermediateSize();
        int shared = 0;
        if (moe.sharedIntermediateSize() > 0) {
            String key = "shared_expert_intermediate_size";
            shared = config.integer(key, moe.sharedIntermediateSize());
            ModelConfig.requirePositive(shared, key);
        }
        return Optional.of(new MoeConfig(
                experts,
                config.integer("num_experts_per_tok", moe.topK()),
                config.integer(moe.intermediateKey(), width),
                shared,
                moe.alwaysRenormalise() || config.flag("norm_topk_prob", false),
                config.number("router_aux_loss_coef", moe.auxLossCoefficient()),
                config.flag("output_router_logits", false),
                sparse));
    }

    private int experts(Moe moe) {
        OptionalInt one = config.integer("num_experts");
        OptionalInt other = config.integer("num_local_experts");
        if (one.isPresent() && other.isPresent() && one.getAsInt() != other.getAsInt()) {
            throw ModelConfig.wrong(
                    "num_experts is " + one.getAsInt() + ", but num_local_experts is " + other.getAsInt());
        }
        return one.orElse(other.orElse(moe.experts()));
    }
}
