// ln_grouped_gated_fwd and ln_grouped_gated_bwd: the grouped products of both sides and the gated activation, each on
// its SIMD tier, one after the other. What the forward pass does not keep lies in y and behind the products' scratch.
#include <algorithm>

#include "../abi/grouped_sides.hpp"
#include "cpu_backend.hpp"
#include "scratch.hpp"

namespace ln {

namespace cpu {

namespace {

constexpr int64_t kAlignment = 64;

/// Of the larger side.
template <typename Args>
int64_t product_bytes(const ln_context& context, int32_t op, const Args& gate, const Args& up) {
  const int64_t bytes = std::max(matmul_scratch_bytes(context, op, &gate), matmul_scratch_bytes(context, op, &up));
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

int64_t forward_product_bytes(const ln_context& context, const ln_grouped_gated_fwd_args& args) {
  return product_bytes(context, LN_OP_GROUPED_LINEAR_FWD, gate_side(args, nullptr), up_side(args, nullptr));
}

}  // namespace

int64_t grouped_gated_scratch_bytes(const ln_context& context, int32_t op, const void* args) {
  if (op == LN_OP_GROUPED_GATED_BWD) {
    const auto& backward = *static_cast<const ln_grouped_gated_bwd_args*>(args);
    return product_bytes(context, LN_OP_GROUPED_LINEAR_BWD, gate_side(backward), up_side(backward));
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
  grouped_linear_fwd(context, gate_side(args, gate), check.of("gate"));
  grouped_linear_fwd(context, up_side(args, up), check.of("up"));
  gated_activation_fwd(context, args.activation, gate, up, args.y, args.rows * args.out);
}

void grouped_gated_bwd(ln_context& context, const ln_grouped_gated_bwd_args& args, const Checker& check) {
  require_scratch(context, check, cpu::grouped_gated_scratch_bytes(context, LN_OP_GROUPED_GATED_BWD, &args));
  if (args.dy != nullptr) {
    gated_activation_bwd(context, args.activation, args.dy, args.gate, args.up, args.gate, args.up,
                         args.rows * args.out);
  }
  grouped_linear_bwd(context, gate_side(args), check.of("gate"));
  grouped_linear_bwd(context, up_side(args), check.of("up"));
}

}  // namespace backend
}  // namespace ln
