package dev.loranative.ffi;

import java.util.List;

/** The argument structs of {@code lora_native.h}. */
public final class Structs {

    public static final NativeStruct CONTEXT_OPTIONS = NativeStruct.of(
            "ln_context_options",
            "int32 device, int32 threads, int32 simd, int32 precision, int32 gemm, int32 reserved, pointer stream");

    public static final NativeStruct QUANTIZED = NativeStruct.of("ln_quantized", """
            pointer codes, pointer absmax, pointer nested_absmax, pointer nested_code, int64 elements, int64 block,
            int64 nested_block, float offset, int32 reserved""");

    public static final NativeStruct MATMUL = NativeStruct.of("ln_matmul_args", """
            pointer a, pointer b, pointer bias, pointer c, int64 m, int64 n, int64 k, int64 lda, int64 ldb, int64 ldc,
            int32 a_dtype, int32 b_dtype, int32 bias_dtype, int32 transpose_a, int32 transpose_b,
            float alpha, float beta, int32 reserved""");

    public static final NativeStruct LINEAR_FORWARD = NativeStruct.of("ln_linear_fwd_args", """
            pointer x, pointer lora_x, pointer weight, pointer bias, pointer lora_a, pointer lora_b, pointer u, pointer y,
            int64 rows, int64 in, int64 out, int64 rank, int32 weight_dtype, int32 bias_dtype, float lora_scale,
            int32 reserved""");

    public static final NativeStruct LINEAR_BACKWARD = NativeStruct.of("ln_linear_bwd_args", """
            pointer dy, pointer x, pointer lora_x, pointer weight, pointer lora_a, pointer lora_b, pointer u, pointer v,
            pointer grad_a, pointer grad_b, pointer dx, pointer dlora_x, int64 rows, int64 in, int64 out, int64 rank,
            int32 weight_dtype, int32 accumulate, float lora_scale, int32 reserved""");

    /** {@code LN_JOINT_LAYERS}. */
    public static final int JOINT_LAYERS = 4;

    /** Its layers lie side by side in host memory, each a {@link #LINEAR_FORWARD}. */
    public static final NativeStruct JOINT_LINEAR_FORWARD =
            NativeStruct.of("ln_joint_linear_fwd_args", "pointer layers, int64 count");

    /** Its layers lie side by side in host memory, each a {@link #LINEAR_BACKWARD}. */
    public static final NativeStruct JOINT_LINEAR_BACKWARD =
            NativeStruct.of("ln_joint_linear_bwd_args", "pointer layers, int64 count");

    public static final NativeStruct GROUPED_LINEAR_FORWARD = NativeStruct.of("ln_grouped_linear_fwd_args", """
            pointer x, pointer lora_x, pointer offsets, pointer weights, pointer lora_a, pointer lora_b, pointer ranks,
            pointer scales, pointer u, pointer y, int64 rows, int64 in, int64 out, int64 experts, int64 max_rank,
            int32 weight_dtype, int32 reserved""");

    public static final NativeStruct GROUPED_LINEAR_BACKWARD = NativeStruct.of("ln_grouped_linear_bwd_args", """
            pointer dy, pointer x, pointer lora_x, pointer offsets, pointer weights, pointer lora_a, pointer lora_b,
            pointer ranks, pointer scales, pointer u, pointer v, pointer grad_a, pointer grad_b, pointer dx,
            pointer dlora_x, int64 rows, int64 in, int64 out, int64 experts, int64 max_rank, int32 weight_dtype,
            int32 accumulate""");

    public static final NativeStruct GROUPED_GATED_FORWARD = NativeStruct.of("ln_grouped_gated_fwd_args", """
            pointer x, pointer offsets, pointer gate_weights, pointer gate_lora_a, pointer gate_lora_b,
            pointer gate_ranks, pointer gate_scales, pointer gate_u, pointer up_weights, pointer up_lora_a,
            pointer up_lora_b, pointer up_ranks, pointer up_scales, pointer up_u, pointer gate, pointer up, pointer y,
            int64 rows, int64 in, int64 out, int64 experts, int64 gate_max_rank, int64 up_max_rank,
            int32 weight_dtype, int32 activation""");

    public static final NativeStruct GROUPED_GATED_BACKWARD = NativeStruct.of("ln_grouped_gated_bwd_args", """
            pointer dy, pointer x, pointer offsets, pointer gate_weights, pointer gate_lora_a, pointer gate_lora_b,
            pointer gate_ranks, pointer gate_scales, pointer gate_u, pointer gate_v, pointer gate_grad_a,
            pointer gate_grad_b, pointer up_weights, pointer up_lora_a, pointer up_lora_b, pointer up_ranks,
            pointer up_scales, pointer up_u, pointer up_v, pointer up_grad_a, pointer up_grad_b, pointer gate,
            pointer up, pointer dx, int64 rows, int64 in, int64 out, int64 experts, int64 gate_max_rank,
            int64 up_max_rank, int32 weight_dtype, int32 activation""");

    public static final NativeStruct GROUPED_DOWN_BACKWARD = NativeStruct.of("ln_grouped_down_bwd_args", """
            pointer dy, pointer rows_of_pairs, pointer scores, pointer dscores, pointer offsets, pointer weights,
            pointer lora_a, pointer lora_b, pointer ranks, pointer scales, pointer u, pointer v, pointer grad_a,
            pointer grad_b, pointer gate, pointer up, pointer inner, int64 tokens, int64 top_k, int64 in, int64 out,
            int64 experts, int64 max_rank, int32 weight_dtype, int32 activation""");

    public static final NativeStruct DORA_FORWARD = NativeStruct.of("ln_dora_fwd_args", """
            pointer z, pointer magnitude, pointer norms, pointer bias, pointer y, int64 rows, int64 out,
            int32 bias_dtype, int32 accumulate""");

    public static final NativeStruct DORA_BACKWARD = NativeStruct.of("ln_dora_bwd_args", """
            pointer dy, pointer z, pointer magnitude, pointer norms, pointer dz, pointer grad_magnitude, int64 rows,
            int64 out""");

    public static final NativeStruct RMSNORM_FORWARD = NativeStruct.of("ln_rmsnorm_fwd_args", """
            pointer x, pointer residual, pointer weight, pointer sum, pointer y, pointer rstd, int64 rows, int64 width,
            float epsilon, int32 weight_dtype""");

    public static final NativeStruct RMSNORM_BACKWARD = NativeStruct.of("ln_rmsnorm_bwd_args", """
            pointer dy, pointer z, pointer weight, pointer rstd, pointer dresidual, pointer dx, pointer grad_weight,
            int64 rows, int64 width, int32 weight_dtype, int32 reserved""");

    public static final NativeStruct ROPE = NativeStruct.of("ln_rope_args", """
            pointer x, pointer cosine, pointer sine, pointer positions, int64 tokens, int64 heads, int64 head_dim,
            int64 rotary_dim, int64 table_rows, int32 transpose, int32 reserved""");

    public static final NativeStruct ATTENTION = NativeStruct.of("ln_attention_args", """
            pointer q, pointer k, pointer v, pointer o, pointer lse, pointer dout, pointer dq, pointer dk, pointer dv,
            pointer delta, pointer query_offsets, pointer key_offsets, int64 sequences, int64 query_tokens,
            int64 key_tokens, int64 heads, int64 key_heads, int64 head_dim, int64 window, float scale,
            int32 reserved""");

    public static final NativeStruct ROUTER_FORWARD = NativeStruct.of("ln_router_fwd_args", """
            pointer logits, pointer probabilities, pointer ids, pointer weights, pointer counts,
            pointer probability_sums, pointer log_sum_exp, pointer square_sum, int64 tokens, int64 experts,
            int64 top_k, int32 renormalise, int32 reserved""");

    public static final NativeStruct ROUTER_BACKWARD = NativeStruct.of("ln_router_bwd_args", """
            pointer probabilities, pointer ids, pointer weights, pointer dweights, pointer dprobabilities,
            pointer log_sum_exp, pointer dlogits, int64 tokens, int64 experts, int64 top_k, int32 renormalise,
            float z_scale""");

    public static final NativeStruct MOE_PLAN = NativeStruct.of("ln_moe_plan_args", """
            pointer ids, pointer offsets, pointer rows_of_pairs, pointer tokens_of_rows, int64 tokens, int64 experts,
            int64 top_k""");

    public static final NativeStruct ADAMW = NativeStruct.of("ln_adamw_args", """
            pointer parameters, pointer gradients, pointer first_moments, pointer second_moments, pointer gradient_scale,
            int64 n, int64 step, double learning_rate, double beta1, double beta2, double epsilon,
            double weight_decay""");

    public static final NativeStruct ADAMW_8BIT = NativeStruct.of("ln_adamw_8bit_args", """
            pointer parameters, pointer gradients, pointer first_moments, pointer second_moments, pointer first_absmax,
            pointer second_absmax, pointer gradient_scale, int64 n, int64 step, double learning_rate, double beta1,
            double beta2, double epsilon, double weight_decay""");

    static final List<NativeStruct> ALL = List.of(
            CONTEXT_OPTIONS,
            QUANTIZED,
            MATMUL,
            LINEAR_FORWARD,
            LINEAR_BACKWARD,
            JOINT_LINEAR_FORWARD,
            JOINT_LINEAR_BACKWARD,
            GROUPED_LINEAR_FORWARD,
            GROUPED_LINEAR_BACKWARD,
            GROUPED_GATED_FORWARD,
            GROUPED_GATED_BACKWARD,
            GROUPED_DOWN_BACKWARD,
            DORA_FORWARD,
            DORA_BACKWARD,
            RMSNORM_FORWARD,
            RMSNORM_BACKWARD,
            ROPE,
            ATTENTION,
            ROUTER_FORWARD,
            ROUTER_BACKWARD,
            MOE_PLAN,
            ADAMW,
            ADAMW_8BIT);

    private Structs() {}
}
