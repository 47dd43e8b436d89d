package dev.loranative.config;

/** How routers and experts are named and laid out in an adapter file. */
public enum AdapterDialect {
    /** What PEFT 0.21 with transformers 5 loads as exactly these targets: V4's tensors where it can, else V5's. */
    AUTO,
    /** One pair of tensors per expert under the checkpoint's names, as PEFT wrote them for transformers 4. */
    V4,
    /** One pair of tensors for all experts of a layer, as PEFT has written them since 0.19.1. */
    V5
}
