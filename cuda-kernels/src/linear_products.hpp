// The products of ln_linear, in the order of their dependence.
#pragma once

#include "products.hpp"

namespace ln::cuda {

/// c[m,n] = left . right with rows of c side by side; operands are still to be named.
Product plain_product(int64_t m, int64_t n, int64_t k, float* c, int64_t ldc);

/// u = lora_x . lora_a^T
Product down_projection(const ln_linear_fwd_args& args);
/// y = x . weight^T + bias + lora_scale * u . lora_b^T
Product layer_output(const ln_linear_fwd_args& args);

/// dy as all products of a layer read it: where it is, or, if dx wants one, in a bfloat16 copy at `scratch`.
struct OutputGradient {
  Operand rows;
  int64_t copy_bytes;  // 0: none
};
OutputGradient output_gradient(const ln_context& context, const ln_linear_bwd_args& args, bool wants_dx,
                               const void* scratch);
void copy_output_gradient(const ln_context& context, const char* name, const ln_linear_bwd_args& args,
                          const OutputGradient& dy, void* scratch);

/// v = lora_scale * dy . lora_b
Product low_rank_gradient(const ln_linear_bwd_args& args, const Operand& dy);
/// grad_b += lora_scale * dy^T . u
Product gradient_of_b(const ln_linear_bwd_args& args, const Operand& dy);
/// grad_a^T += lora_x^T . v
Product gradient_of_a(const ln_linear_bwd_args& args);
/// dx (+)= dy . weight (+ v . lora_a)
Product input_gradient(const ln_linear_bwd_args& args, const Operand& dy);
/// dlora_x = v . lora_a
Product adapter_input_gradient(const ln_linear_bwd_args& args);

}  // namespace ln::cuda
