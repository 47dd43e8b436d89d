#include "scratch.hpp"

namespace ln::backend {

int64_t scratch_bytes(const ln_context& context, int32_t op, const void* args, const Checker& check) {
  switch (op) {
    case LN_OP_MATMUL:
    case LN_OP_LINEAR_FWD:
    case LN_OP_LINEAR_BWD:
    case LN_OP_GROUPED_LINEAR_FWD:
    case LN_OP_GROUPED_LINEAR_BWD:
      return cpu::matmul_scratch_bytes(context, op, args);
    case LN_OP_ATTENTION_FWD:
    case LN_OP_ATTENTION_BWD:
      return cpu::attention_scratch_bytes(context, op, args);
    case LN_OP_MOE_PLAN:
      return cpu::moe_scratch_bytes(context, op, args);
    case LN_OP_GROUPED_GATED_FWD:
    case LN_OP_GROUPED_GATED_BWD:
      return cpu::grouped_gated_scratch_bytes(context, op, args);
    case LN_OP_GROUPED_DOWN_BWD:
      return cpu::grouped_down_scratch_bytes(context, op, args);
    case LN_OP_JOINT_LINEAR_FWD:
    case LN_OP_JOINT_LINEAR_BWD:
      return cpu::joint_linear_scratch_bytes(context, op, args);
    default:
      check.fail(LN_INVALID_ARGUMENT, "op is " + std::to_string(op) + ", not an ln_op");
  }
}

}  // namespace ln::backend
