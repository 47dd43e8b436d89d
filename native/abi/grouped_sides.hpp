// The gate and up sides of ln_grouped_gated_*, and the down projection of ln_grouped_down_bwd, as grouped linear layers
// of their own, which is what they mean.
#pragma once

#include "lora_native.h"

namespace ln {

constexpr const char kGatedForward[] = "ln_grouped_gated_fwd", kGatedBackward[] = "ln_grouped_gated_bwd",
                     kDownBackward[] = "ln_grouped_down_bwd";

/// y is `gate`.
inline ln_grouped_linear_fwd_args gate_side(const ln_grouped_gated_fwd_args& a, float* gate) {
  return {a.x,      nullptr, a.offsets, a.gate_weights, a.gate_lora_a, a.gate_lora_b, a.gate_ranks,    a.gate_scales,
          a.gate_u, gate,    a.rows,    a.in,           a.out,         a.experts,     a.gate_max_rank, a.weight_dtype,
          0};
}

/// y is `up`.
inline ln_grouped_linear_fwd_args up_side(const ln_grouped_gated_fwd_args& a, float* up) {
  return {a.x,    nullptr, a.offsets, a.up_weights, a.up_lora_a,   a.up_lora_b,    a.up_ranks, a.up_scales, a.up_u, up,
          a.rows, a.in,    a.out,     a.experts,    a.up_max_rank, a.weight_dtype, 0};
}

/// dy is what the backward pass makes of gate; dx is written.
inline ln_grouped_linear_bwd_args gate_side(const ln_grouped_gated_bwd_args& a) {
  return {a.gate,         a.x,
          nullptr,        a.offsets,
          a.gate_weights, a.gate_lora_a,
          a.gate_lora_b,  a.gate_ranks,
          a.gate_scales,  a.gate_u,
          a.gate_v,       a.gate_grad_a,
          a.gate_grad_b,  a.dx,
          nullptr,        a.rows,
          a.in,           a.out,
          a.experts,      a.gate_max_rank,
          a.weight_dtype, 0};
}

/// dy is what the backward pass makes of up; dx is added to.
inline ln_grouped_linear_bwd_args up_side(const ln_grouped_gated_bwd_args& a) {
  return {a.up,        a.x,           nullptr,        a.offsets, a.up_weights, a.up_lora_a,
          a.up_lora_b, a.up_ranks,    a.up_scales,    a.up_u,    a.up_v,       a.up_grad_a,
          a.up_grad_b, a.dx,          nullptr,        a.rows,    a.in,         a.out,
          a.experts,   a.up_max_rank, a.weight_dtype, 1};
}

/// Over rows of dy, however they come; dx is the gradient of inner before its scores.
inline ln_grouped_linear_bwd_args down_side(const ln_grouped_down_bwd_args& a, const float* dy, float* dx) {
  return {dy,       a.inner, nullptr,   a.offsets,  a.weights,      a.lora_a, a.lora_b, a.ranks,
          a.scales, a.u,     a.v,       a.grad_a,   a.grad_b,       dx,       nullptr,  a.tokens * a.top_k,
          a.in,     a.out,   a.experts, a.max_rank, a.weight_dtype, 0};
}

}  // namespace ln
