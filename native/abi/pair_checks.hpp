// The (token, choice) pairs of a mixture of experts, as every op that has them checks them.
#pragma once

#include "backend.hpp"

namespace ln {

// Rows and pairs are numbered with int32.
constexpr int64_t kMostRows = INT32_MAX;

inline void check_pairs(const Checker& check, int64_t tokens, int64_t top_k) {
  check.at_least("tokens", tokens, 0);
  check.at_least("top_k", top_k, 1);
  check.at_most("top_k", top_k, kMostRows);
  check.at_most("tokens", tokens, kMostRows / top_k);
}

}  // namespace ln
