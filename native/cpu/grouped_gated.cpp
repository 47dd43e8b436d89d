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

/// Of both sides: they are packed together.
int64_t product_bytes(const ln_context& context, const ln_grouped_gated_fwd_args& args) {
  ln_grouped_linear_fwd_args both = gate_side(args, nullptr);
  both.max_rank += args.up_max_rank;
  return aligned(matmul_scratch_bytes(context, LN_OP_GROUPED_LINEAR_FWD, &both));
}

int64_t product_bytes(const ln_context& context, const ln_grouped_gated_bwd_args& args) {
  ln_grouped_linear_bwd_args both = gate_side(args);
  both.out += args.out;
  both.max_rank += args.up_max_rank;
  return aligned(matmul_scratch_bytes(context, LN_OP_GROUPED_LINEAR_BWD, &both));
}

/// An expert's product of its side `own`, which shares the packed x with the other one.
Product side_output(const ln_context& context, const ln_grouped_linear_fwd_args (&sides)[2], int64_t e, int64_t own) {
  const ln_grouped_linear_fwd_args& side = sides[own];
  const int64_t row = side.offsets[e];
  const JointLayer layers[] = {{expert_layer(sides[0], e), sides[0].u + row * sides[0].max_rank},
                               {expert_layer(sides[1], e), sides[1].u + row * sides[1].max_rank}};
  if (!shares_packing(context, layers[0].layer.rows, joint_steps(layers, 2))) return expert_output(side, e);
  return joint_output(layers, 2, own, side.x + row * side.in, nullptr, LN_F32, side.y + row * side.out);
}

}  // namespace

int64_t grouped_gated_scratch_bytes(const ln_context& context, int32_t op, const void* args) {
  if (op == LN_OP_GROUPED_GATED_BWD)
    return product_bytes(context, *static_cast<const ln_grouped_gated_bwd_args*>(args));
  const auto& forward = *static_cast<const ln_grouped_gated_fwd_args*>(args);
  const int64_t up_elements = forward.gate == nullptr ? forward.rows * forward.out : 0;
  return product_bytes(context, forward) + up_elements * int64_t{sizeof(float)};
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
    up = reinterpret_cast<float*>(static_cast<char*>(scratch) + cpu::product_bytes(context, args));
  }
  const ln_grouped_linear_fwd_args sides[] = {gate_side(args, gate), up_side(args, up)};
  cpu::check_experts(sides[0], check.of("gate"));
  cpu::check_experts(sides[1], check.of("up"));
  cpu::clear_unused(context, sides[0]);
  cpu::clear_unused(context, sides[1]);
  // An expert's two products one after the other: they share the packed x.
  cpu::run_products(
      context, scratch, cpu::product_bytes(context, args),
      cpu::ProductList(2 * args.experts, [&](int64_t i) { return cpu::side_output(context, sides, i / 2, i % 2); }));
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
  const auto run = [&](int64_t count, const auto& product) {
    cpu::run_products(context, scratch, bytes, cpu::ProductList(count, product));
  };
  const ln_grouped_linear_bwd_args sides[] = {gate, up};
  for (const ln_grouped_linear_bwd_args& side : sides) cpu::clear_unused(context, side);
  if (args.dx != nullptr) {
    run(args.experts, [&](int64_t e) {
      const int64_t row = args.offsets[e];
      cpu::Product product = cpu::start(args.offsets[e + 1] - row, args.in, args.dx + row * args.in, args.in, 0);
      for (const ln_grouped_linear_bwd_args& side : sides) cpu::add_expert_gradient(product, side, e);
      return product;
    });
  } else {
    run(2 * args.experts, [&](int64_t i) { return cpu::expert_low_rank_gradient(sides[i % 2], i / 2); });
  }
  if (args.gate_max_rank > 0 || args.up_max_rank > 0) {
    run(4 * args.experts, [&](int64_t i) { return cpu::expert_adapter_gradient(context, sides[i % 2], i / 2); });
  }
}

}  // namespace backend
}  // namespace ln
