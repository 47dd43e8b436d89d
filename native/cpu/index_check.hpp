// Refusing indices that only the CPU library can look at before it uses them.
#pragma once

#include <string>

#include "../abi/guard.hpp"

namespace ln::cpu {

/// Refuses the first entry outside [0, bound), naming its place.
inline void require_indices_below(const Checker& check, const char* name, const int32_t* index, int64_t n,
                                  int64_t bound) {
  for (int64_t i = 0; i < n; ++i) {
    if (index[i] < 0 || index[i] >= bound) {
      check.fail(LN_INVALID_ARGUMENT, std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(index[i]) +
                                          ", must be at least 0 and below " + std::to_string(bound));
    }
  }
}

}  // namespace ln::cpu
