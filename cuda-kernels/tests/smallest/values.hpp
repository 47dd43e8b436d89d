// Sizes and arrays that cases of smallest_shapes share.
#pragma once

#include <vector>

#include "device_memory.hpp"
#include "lora_native.h"

namespace ln::smallest {

constexpr int64_t kRows = 35, kIn = 72, kOut = 70, kRank = 5, kExperts = 4, kTopK = 2, kTokens = 33;

struct Weight {
  const void* at;
  int32_t dtype;
};

/// A 4-bit weight with double quantisation whose blocks run over the ends of rows.
inline Weight quantized(Memory& memory, int64_t elements) {
  const int64_t blocks = (elements + 63) / 64;
  std::vector<uint8_t> codes(static_cast<size_t>((elements + 1) / 2)), absmax(static_cast<size_t>(blocks));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 37 + 11);
  for (size_t i = 0; i < absmax.size(); ++i) absmax[i] = static_cast<uint8_t>(i * 13);
  ln_quantized weight = {};
  weight.codes = memory.of(codes);
  weight.absmax = memory.of(absmax);
  weight.nested_absmax = memory.random((blocks + 255) / 256);
  weight.nested_code = memory.random(256);
  weight.elements = elements;
  weight.block = 64;
  weight.nested_block = 256;
  weight.offset = 0.5f;
  return {memory.table(std::vector<ln_quantized>{weight}), LN_NF4};
}

inline Weight bfloat16(Memory& memory, int64_t elements) {
  std::vector<uint16_t> bits(static_cast<size_t>(elements));
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(0x3f00 + i % 97);
  return {memory.of(bits), LN_BF16};
}

inline std::vector<int32_t> numbers(int64_t count, int32_t below) {
  std::vector<int32_t> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i * 7 % static_cast<size_t>(below));
  return values;
}

}  // namespace ln::smallest
