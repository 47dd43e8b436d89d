// What tests of products need beyond matrices.hpp: numbers as bfloat16 products see them, and contexts by options.
#pragma once

#include "matrices.hpp"

namespace ln::test {

/// To nearest even.
inline double rounded_to_bf16(double x) {
  const float single = static_cast<float>(x);
  uint32_t bits;
  std::memcpy(&bits, &single, 4);
  return bf16_value(static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
}

/// An operand as the product of this precision reads it.
struct Seen {
  const TestMatrix* matrix;
  bool rounds;
  bool transposed = false;
  double operator()(int64_t i, int64_t j) const {
    const double x = transposed ? (*matrix)(j, i) : (*matrix)(i, j);
    return rounds ? rounded_to_bf16(x) : x;
  }
};

inline ln_context_options product_options(int32_t schedule, int32_t precision, int32_t gemm = LN_GEMM_OWN) {
  ln_context_options options = options_of(schedule, 0, precision);
  options.gemm = gemm;
  return options;
}

}  // namespace ln::test
