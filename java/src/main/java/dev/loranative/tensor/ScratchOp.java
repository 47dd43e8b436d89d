package dev.loranative.tensor;

/** Ops that work in scratch, numbered as {@code ln_op}. */
enum ScratchOp {
    MATMUL,
    LINEAR_FORWARD,
    LINEAR_BACKWARD,
    GROUPED_LINEAR_FORWARD,
    GROUPED_LINEAR_BACKWARD,
    ATTENTION_FORWARD,
    ATTENTION_BACKWARD,
    MOE_PLAN,
    GROUPED_GATED_FORWARD,
    GROUPED_GATED_BACKWARD,
    GROUPED_DOWN_BACKWARD
}
