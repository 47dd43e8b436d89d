// Single elements of 4-bit weights, for what reads few of them. Products decode whole blocks instead.
#pragma once

#include "../simt/simt.hpp"
#include "lora_native.h"

namespace ln::cuda {

/// Values of LN_NF4 by code.
SIMT_CONSTANT float kElementNf4[16] = {-1.0f,
                                       -0.6961928009986877f,
                                       -0.5250730514526367f,
                                       -0.39491748809814453f,
                                       -0.28444138169288635f,
                                       -0.18477343022823334f,
                                       -0.09105003625154495f,
                                       0.0f,
                                       0.07958029955625534f,
                                       0.16093020141124725f,
                                       0.24611230194568634f,
                                       0.33791524171829224f,
                                       0.44070982933044434f,
                                       0.5626170039176941f,
                                       0.7229568362236023f,
                                       1.0f};
/// Values of LN_FP4 by code.
SIMT_CONSTANT float kElementFp4[16] = {0.0f,  1.0f / 192,  2.0f / 3,  1.0f,  1.0f / 3,  0.5f,  1.0f / 6,  0.25f,
                                       -0.0f, -1.0f / 192, -2.0f / 3, -1.0f, -1.0f / 3, -0.5f, -1.0f / 6, -0.25f};

/// Element i; every product and sum is rounded by itself, as the header of the ABI says.
__device__ __forceinline__ float quantized_element(const ln_quantized& weight, int32_t type, int64_t i) {
  const int64_t b = i >> (__ffs(static_cast<int>(weight.block)) - 1);  // a power of two up to 4096
  const int code = weight.codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
  float scale;
  if (weight.nested_absmax == nullptr) {
    scale = static_cast<const float*>(weight.absmax)[b];
  } else {
    const float entry = weight.nested_code[static_cast<const uint8_t*>(weight.absmax)[b]];
    scale = __fadd_rn(__fmul_rn(entry, weight.nested_absmax[b / weight.nested_block]), weight.offset);
  }
  return __fmul_rn((type == LN_NF4 ? kElementNf4 : kElementFp4)[code], scale);
}

}  // namespace ln::cuda
