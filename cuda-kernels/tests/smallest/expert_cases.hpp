// Cases of mixtures of experts.
#pragma once

#include "device_memory.hpp"
#include "lora_native.h"

namespace ln::smallest {

int32_t grouped_forward(ln_context* context, Memory& memory);
int32_t grouped_backward(ln_context* context, Memory& memory);
int32_t gated_forward(ln_context* context, Memory& memory);
int32_t gated_backward(ln_context* context, Memory& memory);
int32_t down_backward(ln_context* context, Memory& memory, int64_t tokens);
/// The router, its permutation and both passes of the combination, one after the other as a layer runs them.
int32_t mixture(ln_context* context, Memory& memory);

}  // namespace ln::smallest
