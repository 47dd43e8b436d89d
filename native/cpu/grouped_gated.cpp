// ln_grouped_gated_fwd and ln_grouped_gated_bwd: the products of both sides of all experts together, and the gated
// activation. What the forward pass does not keep lies in y and behind the products' scratch.
#include <algorithm>

#include "../abi/grouped_sides.hpp"
#include "grouped_layers.hpp"
#include "products.hpp"
#include "scratch.hpp"

namespace ln {

namespace cpu {

namespace {

/// Of the larger side.
template <typename Args>
int64_t product_bytes(const ln_context& context, int32_t op, const Args& gate, const Args& up) {
  return aligned(std::max(matmul_scratch_bytes(context, op, &gate), matmul_scratch_bytes(context, op, &up)));
}

/// Without any, dx is one product over the columns of both sides.
bool has_adapters(const ln_grouped_gated_bwd_args& args) { return args.gate_max_rank > 0 || args.up_max_rank > 0; }

int64_t forward_product_bytes(const ln_context& context, const ln_grouped_gated_fwd_args& args) {
  return product_bytes(context, LN_OP_GROUPED_LINEAR_FWD, gate_side(args, nullptr), up_side(args, nullptr));
}

}  // namespace

int64_t grouped_gated_scratch_bytes(const ln_context& context, int32_t op, const void* args) {
  if (op == LN_OP_GROUPED_GATED_BWD) {
    const auto& backward = *static_cast<const ln_grouped_gated_bwd_args*>(args);
    ln_grouped_linear_bwd_args gate = gate_side(backward), up = up_side(backward);
    if (!has_adapters(backward)) gate.out = up.out = 2 * backward.out;
    return product_bytes(context, LN_OP_GROUPED_LINEAR_BWD, gate, up);
  }
  const auto& forward = *static_cast<const ln_grouped_gated_fwd_args*>(args);
  const int64_t up_elements = forward.gate == nullptr ? forward.rows * forward.out : 0;
  return forward_product_bytes(context, forward) + up_elements * int64_t{sizeof(float)};
}

}  // namespace cpu

namespace backend {

void grouped_gated_fwd(ln_context& context, const ln_grouped_gated_fwd_args& args, const Checker& check) {
  void* const scratch =
      require_scratch(context, check, cpu::grouped_gated_scratch_bytes(context, LN_OP_GROUPED_GATED_FWD, &args));
  float* gate = args.gate;
  float* up = args.up;
  if (gate == nullptr) {
    gate = args.y;
    up = reinterpret_cast<float*>(static_cast<char*>(scratch) + cpu::forward_product_bytes(context, args));
  }
  const ln_grouped_linear_fwd_args sides[] = {gate_side(args, gate), up_side(args, up)};
  cpu::check_experts(sides[0], check.of("gate"));
  cpu::check_experts(sides[1], check.of("up"));
  cpu::clear_unused(context, sides[0]);
  cpu::clear_unused(context, sides[1]);
  // An expert's two products one after the other: without adapters they share the packed x.
  cpu::run_products(
      context, scratch, cpu::forward_product_bytes(context, args),
      cpu::ProductList(2 * args.experts, [&](int64_t i) { return cpu::expert_output(sides[i % 2], i / 2); }));
  gated_activation_fwd(context, args.activation, gate, up, args.y, args.rows * args.out);
}

void grouped_gated_bwd(ln_context& context, const ln_grouped_gated_bwd_args& args, const Checker& check) {
  const int64_t bytes = cpu::grouped_gated_scratch_bytes(context, LN_OP_GROUPED_GATED_BWD, &args);
  void* const scratch = require_scratch(context, check, bytes);
  const ln_grouped_linear_bwd_args gate = gate_side(args), up = up_side(args);
  cpu::check_experts(gate, check.of("gate"));
  cpu::check_experts(up, check.of("up"));
  if (args.dy != nullptr) {
    gated_activation_bwd(context, args.activation, args.dy, args.gate, args.up, args.gate, args.up,
                         args.rows * args.out);
  }
  if (cpu::has_adapters(args)) {
    for (const ln_grouped_linear_bwd_args& side : {gate, up}) {
      cpu::run_input_gradients(context, side);
      cpu::run_adapter_gradients(context, side);
    }
  } else if (args.dx != nullptr) {
    cpu::run_products(context, scratch, bytes, cpu::ProductList(args.experts, [&](int64_t e) {
                        return cpu::input_gradient(cpu::expert_layer(gate, e), cpu::expert_layer(up, e),
                                                   args.gate + args.offsets[e] * args.out,
                                                   args.up + args.offsets[e] * args.out,
                                                   args.dx + args.offsets[e] * args.in);
                      }));
  }
}

}  // namespace backend
}  // namespace ln
