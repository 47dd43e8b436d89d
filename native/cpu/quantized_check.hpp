// Refusing descriptors of 4-bit weights that only the CPU library can look at before it uses them.
#pragma once

#include "../abi/guard.hpp"

namespace ln::cpu {

/// Refuses a descriptor that does not describe `elements` elements; one of another dtype is not looked at. `name` is
/// the argument that points to it.
void require_quantized(const Checker& check, const char* name, const void* weight, int32_t dtype, int64_t elements);

/// As above, for any number of elements.
void require_quantized(const Checker& check, const char* name, const ln_quantized& weight);

}  // namespace ln::cpu
