// ln_joint_linear_fwd and ln_joint_linear_bwd: one layer after the other.
#include <algorithm>

#include "../abi/joint_layers.hpp"
#include "scratch.hpp"

namespace ln {

namespace cpu {

int64_t joint_linear_scratch_bytes(const ln_context& context, int32_t op, const void* op_args) {
  int64_t most = 0;
  const auto add = [&](int32_t layer_op, const auto& args) {
    for (int64_t i = 0; i < args.count; ++i)
      most = std::max(most, matmul_scratch_bytes(context, layer_op, &args.layers[i]));
  };
  if (op == LN_OP_JOINT_LINEAR_FWD) {
    add(LN_OP_LINEAR_FWD, *static_cast<const ln_joint_linear_fwd_args*>(op_args));
  } else {
    add(LN_OP_LINEAR_BWD, *static_cast<const ln_joint_linear_bwd_args*>(op_args));
  }
  return most;
}

}  // namespace cpu

namespace backend {

void joint_linear_fwd(ln_context& context, const ln_joint_linear_fwd_args& args, const Checker& check) {
  require_scratch(context, check, cpu::joint_linear_scratch_bytes(context, LN_OP_JOINT_LINEAR_FWD, &args));
  for (int64_t i = 0; i < args.count; ++i) linear_fwd(context, args.layers[i], check.of(kJointLayerNames[i]));
}

void joint_linear_bwd(ln_context& context, const ln_joint_linear_bwd_args& args, const Checker& check) {
  require_scratch(context, check, cpu::joint_linear_scratch_bytes(context, LN_OP_JOINT_LINEAR_BWD, &args));
  for (int64_t i = 0; i < args.count; ++i) {
    ln_linear_bwd_args layer = args.layers[i];
    if (i > 0) layer.accumulate = 1;
    linear_bwd(context, layer, check.of(kJointLayerNames[i]));
  }
}

}  // namespace backend
}  // namespace ln
