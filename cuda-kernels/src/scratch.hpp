// Scratch that each op needs, in bytes; sizes are those of the arguments, nothing else of them is read.
#pragma once

#include "../../native/abi/backend.hpp"

namespace ln::cuda {

int64_t matmul_scratch(const ln_context& context, const ln_matmul_args& args);
int64_t linear_fwd_scratch(const ln_context& context, const ln_linear_fwd_args& args);
int64_t linear_bwd_scratch(const ln_context& context, const ln_linear_bwd_args& args);
int64_t joint_linear_fwd_scratch(const ln_context& context, const ln_joint_linear_fwd_args& args);
int64_t joint_linear_bwd_scratch(const ln_context& context, const ln_joint_linear_bwd_args& args);
int64_t grouped_linear_fwd_scratch(const ln_context& context, const ln_grouped_linear_fwd_args& args);
int64_t grouped_linear_bwd_scratch(const ln_context& context, const ln_grouped_linear_bwd_args& args);
int64_t grouped_gated_fwd_scratch(const ln_context& context, const ln_grouped_gated_fwd_args& args);
int64_t grouped_gated_bwd_scratch(const ln_context& context, const ln_grouped_gated_bwd_args& args);
int64_t grouped_down_bwd_scratch(const ln_context& context, const ln_grouped_down_bwd_args& args);
int64_t attention_fwd_scratch(const ln_context& context, const ln_attention_args& args);
int64_t attention_bwd_scratch(const ln_context& context, const ln_attention_args& args);
int64_t moe_plan_scratch(const ln_context& context, const ln_moe_plan_args& args);

}  // namespace ln::cuda
