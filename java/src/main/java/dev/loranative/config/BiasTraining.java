package dev.loranative.config;

/** PEFT's {@code bias}: which biases of the base model are trained as they are, beside the adapter. */
public enum BiasTraining {
    NONE,
    /** Every bias of the model. */
    ALL,
    /** The biases of the modules that have an adapter. */
    LORA_ONLY
}
