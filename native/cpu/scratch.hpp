// Scratch sizes, answered by the family that uses the scratch. Of args only sizes, dtypes and flags are read.
#pragma once

#include "../abi/backend.hpp"

namespace ln::cpu {

/// Parts of scratch begin at lines of the cache.
constexpr int64_t kScratchAlignment = 64;
inline int64_t aligned(int64_t bytes) {
  return (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
}

/// LN_OP_MATMUL .. LN_OP_GROUPED_LINEAR_BWD
int64_t matmul_scratch_bytes(const ln_context& context, int32_t op, const void* args);
/// LN_OP_JOINT_LINEAR_FWD, LN_OP_JOINT_LINEAR_BWD: the sizes of the layers are read too
int64_t joint_linear_scratch_bytes(const ln_context& context, int32_t op, const void* args);
/// LN_OP_ATTENTION_FWD, LN_OP_ATTENTION_BWD
int64_t attention_scratch_bytes(const ln_context& context, int32_t op, const void* args);
/// LN_OP_MOE_PLAN
int64_t moe_scratch_bytes(const ln_context& context, int32_t op, const void* args);
/// LN_OP_GROUPED_GATED_FWD, LN_OP_GROUPED_GATED_BWD
int64_t grouped_gated_scratch_bytes(const ln_context& context, int32_t op, const void* args);
/// LN_OP_GROUPED_DOWN_BWD
int64_t grouped_down_scratch_bytes(const ln_context& context, int32_t op, const void* args);

}  // namespace ln::cpu
