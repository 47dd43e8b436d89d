// What a library implements behind the checks of native/abi: one function per op, arguments already validated.
// A backend may still refuse what only it can know (an id outside the vocabulary) through check.fail.
#pragma once

#include "guard.hpp"

namespace ln::backend {

void create(ln_context& context, const ln_context_options& options, const Checker& check);
void destroy(ln_context& context) noexcept;
int64_t query(const ln_context& context, int32_t what, const Checker& check);
int64_t scratch_bytes(const ln_context& context, int32_t op, const void* args, const Checker& check);
/// As ln_unfinished; empty where kernels are done when their call returns.
std::string unfinished(const ln_context& context);

void quantize(ln_context& context, const void* src, int32_t src_dtype, int64_t n, int32_t type, int64_t block,
              uint8_t* codes, float* absmax, const Checker& check);
void quantize_absmax(ln_context& context, const float* absmax, int64_t n, int64_t nested_block,
                     const float* nested_code, uint8_t* codes, float* nested_absmax, float* offset,
                     const Checker& check);
void dequantize(ln_context& context, const ln_quantized* weight, int32_t type, int64_t first, int64_t count, void* dst,
                int32_t dst_dtype, const Checker& check);

void matmul(ln_context& context, const ln_matmul_args& args, const Checker& check);
void linear_fwd(ln_context& context, const ln_linear_fwd_args& args, const Checker& check);
void linear_bwd(ln_context& context, const ln_linear_bwd_args& args, const Checker& check);
void joint_linear_fwd(ln_context& context, const ln_joint_linear_fwd_args& args, const Checker& check);
void joint_linear_bwd(ln_context& context, const ln_joint_linear_bwd_args& args, const Checker& check);
void grouped_linear_fwd(ln_context& context, const ln_grouped_linear_fwd_args& args, const Checker& check);
void grouped_linear_bwd(ln_context& context, const ln_grouped_linear_bwd_args& args, const Checker& check);
void grouped_gated_fwd(ln_context& context, const ln_grouped_gated_fwd_args& args, const Checker& check);
void grouped_gated_bwd(ln_context& context, const ln_grouped_gated_bwd_args& args, const Checker& check);
void grouped_down_bwd(ln_context& context, const ln_grouped_down_bwd_args& args, const Checker& check);

void dora_norms(ln_context& context, const void* weight, int32_t weight_dtype, const float* lora_a, const float* lora_b,
                float scale, float* norms, int64_t out, int64_t in, int64_t rank, const Checker& check);
void dora_fwd(ln_context& context, const ln_dora_fwd_args& args);
void dora_bwd(ln_context& context, const ln_dora_bwd_args& args);

void embedding_fwd(ln_context& context, const void* table, int32_t table_dtype, const int32_t* ids, float* y,
                   int64_t tokens, int64_t vocabulary, int64_t width, const Checker& check);
void embedding_bwd(ln_context& context, const float* dy, const int32_t* ids, float* grad_table, int64_t tokens,
                   int64_t vocabulary, int64_t width, const Checker& check);
void embedding_rows_fwd(ln_context& context, const float* rows, const int32_t* slots, const int32_t* ids, float* y,
                        int64_t tokens, int64_t vocabulary, int64_t count, int64_t width, const Checker& check);
void embedding_rows_bwd(ln_context& context, const float* dy, const int32_t* slots, const int32_t* ids,
                        float* grad_rows, int64_t tokens, int64_t vocabulary, int64_t count, int64_t width,
                        const Checker& check);
void rmsnorm_fwd(ln_context& context, const ln_rmsnorm_fwd_args& args);
void rmsnorm_bwd(ln_context& context, const ln_rmsnorm_bwd_args& args);
void rope(ln_context& context, const ln_rope_args& args, const Checker& check);
void attention_fwd(ln_context& context, const ln_attention_args& args, const Checker& check);
void attention_bwd(ln_context& context, const ln_attention_args& args, const Checker& check);

void gated_activation_fwd(ln_context& context, int32_t activation, const float* gate, const float* up, float* y,
                          int64_t n);
void gated_activation_bwd(ln_context& context, int32_t activation, const float* dy, const float* gate, const float* up,
                          float* dgate, float* dup, int64_t n);
void sigmoid_gate_fwd(ln_context& context, const float* x, const float* gate, float* y, int64_t rows, int64_t width,
                      bool accumulate);
void sigmoid_gate_bwd(ln_context& context, const float* dy, const float* x, const float* gate, float* dx, float* dgate,
                      int64_t rows, int64_t width);
void axpby(ln_context& context, float alpha, const float* x, float beta, float* y, int64_t n);
void cast(ln_context& context, const void* src, int32_t src_dtype, void* dst, int32_t dst_dtype, int64_t n);
void clamp_fwd(ln_context& context, float* x, int64_t n, float limit);
void clamp_bwd(ln_context& context, const float* y, float* dy, int64_t n, float limit);
void dropout(ln_context& context, const float* x, float* y, int64_t n, float p, int64_t seed, int64_t stream,
             bool accumulate);

void router_fwd(ln_context& context, const ln_router_fwd_args& args);
void router_bwd(ln_context& context, const ln_router_bwd_args& args);
void load_balancing_loss(ln_context& context, const int64_t* counts, const double* probability_sums, int64_t experts,
                         int64_t router_rows, float coefficient, double* loss, float* dprobabilities);
void moe_plan(ln_context& context, const ln_moe_plan_args& args, const Checker& check);
void gather_rows(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t source_rows,
                 int64_t width, const Checker& check);
void scatter_rows(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows,
                  int64_t target_rows, int64_t width, const Checker& check);
void gather_columns(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t width,
                    int64_t count, const Checker& check);
void add_columns(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t width,
                 int64_t count, const Checker& check);
void moe_combine_fwd(ln_context& context, const float* x, const int32_t* rows_of_pairs, const float* weights, float* y,
                     int64_t tokens, int64_t top_k, int64_t width, bool accumulate);
void moe_combine_bwd(ln_context& context, const float* dy, const float* x, const int32_t* rows_of_pairs,
                     const float* weights, float* dx, float* dweights, int64_t tokens, int64_t top_k, int64_t width);

void cross_entropy(ln_context& context, float* logits, const int32_t* labels, float* losses, int64_t rows,
                   int64_t vocabulary, float gradient_scale, bool want_gradient, const Checker& check);
void sum(ln_context& context, const float* x, int64_t n, double* result);
void sum_of_squares(ln_context& context, const float* x, int64_t n, double* result);
void column_sums(ln_context& context, const float* x, float* result, int64_t rows, int64_t columns);
void gradient_scale(ln_context& context, const double* sums, int64_t count, double max_norm, float* scale);
void adamw(ln_context& context, const ln_adamw_args& args);
void adamw_8bit(ln_context& context, const ln_adamw_8bit_args& args);

}  // namespace ln::backend
