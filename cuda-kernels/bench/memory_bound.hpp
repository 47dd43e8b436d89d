// Times of the kernels that are bound by the bytes they move, or by latency.
#pragma once

#include "lora_native.h"

namespace ln::speeds {

/// At 8,192 tokens of Qwen3-30B-A3B; `small`: shapes for the emulator.
void memory_bound(ln_context* context, bool small);

}  // namespace ln::speeds
