// Grouped linear layers taken apart, for ops that compute several of them at once.
#pragma once

#include "../abi/guard.hpp"
#include "linear_products.hpp"

namespace ln::cpu {

/// Refuses offsets, ranks and entries of tables that the passes cannot use.
void check_experts(const ln_grouped_linear_fwd_args& args, const Checker& check);
void check_experts(const ln_grouped_linear_bwd_args& args, const Checker& check);

/// Zeros the columns of u, or of v, that the experts' ranks leave unused.
void clear_unused(const ln_context& context, const ln_grouped_linear_fwd_args& args);
void clear_unused(const ln_context& context, const ln_grouped_linear_bwd_args& args);

/// y of expert e, and u without lora_x.
Product expert_output(const ln_grouped_linear_fwd_args& args, int64_t e);

/// Expert e on its own rows; rows 0, and nothing else, for an expert without rows.
LinearLayer expert_layer(const ln_grouped_linear_fwd_args& args, int64_t e);
LinearLayer expert_layer(const ln_grouped_linear_bwd_args& args, int64_t e);

/// dx of expert e, and v.
void add_expert_gradient(Product& product, const ln_grouped_linear_bwd_args& args, int64_t e);
/// v of expert e, where nobody needs dx.
Product expert_low_rank_gradient(const ln_grouped_linear_bwd_args& args, int64_t e);
/// grad_b and grad_a of the experts in turns, from v; nothing where no adapter is trained.
Product expert_adapter_gradient(const ln_context& context, const ln_grouped_linear_bwd_args& args, int64_t i);

/// The two halves of ln_grouped_linear_bwd, after check_experts, in the context's scratch: v, dx and dlora_x; then
/// grad_a and grad_b, from v.
void run_input_gradients(const ln_context& context, const ln_grouped_linear_bwd_args& args);
void run_adapter_gradients(const ln_context& context, const ln_grouped_linear_bwd_args& args);

}  // namespace ln::cpu
