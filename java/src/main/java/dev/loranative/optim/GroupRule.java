package dev.loranative.optim;

import dev.loranative.config.OptimizerOptions;
import dev.loranative.nn.ParameterGroup;
import dev.loranative.nn.ParameterGroup.Rate;
import java.util.Locale;
import java.util.function.Function;
import java.util.regex.Pattern;

/** Which group of the optimizer a tensor belongs to, by its name in the adapter. */
public enum GroupRule implements Function<String, ParameterGroup> {
    /** transformers' Trainer.get_decay_parameter_names: weight decay on all but biases and norms. */
    PLAIN {
        @Override
        public ParameterGroup apply(String name) {
            return new ParameterGroup(
                    Rate.COMMON, !UNDECAYED.matcher(lower(name)).find());
        }
    },
    /**
     * LoRA+ (Hayou et al. 2024, arXiv:2402.12354) as PEFT's create_loraplus_optimizer: matrices B and vectors learn faster
     * than matrices A, embeddings slower; weight decay on all but biases.
     */
    LORA_PLUS {
        @Override
        public ParameterGroup apply(String name) {
            String text = lower(name);
            if (text.contains("lora_embedding_")) {
                return new ParameterGroup(Rate.EMBEDDING, true);
            }
            if (text.contains("lora_b") || VECTOR.matcher(text).find()) {
                return new ParameterGroup(Rate.LORA_B, !text.contains("bias"));
            }
            return ParameterGroup.ALL;
        }
    };

    /** The one that a run with these options follows. */
    public static GroupRule of(OptimizerOptions options) {
        return options.loraplusLrRatio().isPresent() ? LORA_PLUS : PLAIN;
    }

    private static final Pattern UNDECAYED = Pattern.compile("bias|layernorm|rmsnorm|(^|\\.)norm($|\\.)|_norm($|\\.)");
    private static final Pattern VECTOR =
            Pattern.compile("lora_magnitude_vector|\\.bias$|layernorm|rmsnorm|(^|\\.)norm($|\\.)|_norm($|\\.)");

    private static String lower(String name) {
        return name.toLowerCase(Locale.ROOT);
    }
}
