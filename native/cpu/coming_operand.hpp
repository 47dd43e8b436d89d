// Asks for the part of b that a thread packs next while it multiplies: packing waits for memory, multiplying leaves it
// idle. A hint only, without a say in results.
#pragma once

#include <algorithm>
#include <cstdint>

#include "matmul.hpp"

namespace ln::cpu {

class ComingOperand {
 public:
  ComingOperand() = default;

  /// Steps [k, k + count) and columns [column, column + columns) of b.
  ComingOperand(const Matrix& b, int64_t k, int64_t count, int64_t column, int64_t columns) {
    const bool quantized = b.dtype == LN_NF4 || b.dtype == LN_FP4;
    const int64_t first_row = b.transposed ? column : k, first_column = b.transposed ? k : column;
    rows_ = b.transposed ? columns : count;
    const int64_t row_elements = b.transposed ? count : columns, element = first_row * b.ld + first_column;
    const auto bytes = [&](int64_t elements) {
      return quantized ? elements / 2 : elements * (b.dtype == LN_F32 ? 4 : 2);
    };
    const void* data = quantized ? static_cast<const ln_quantized*>(b.data)->codes : b.data;
    at_ = reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(bytes(element));
    stride_ = bytes(b.ld);
    row_lines_ = (bytes(row_elements) + kLine - 1) / kLine;
  }

  int64_t lines() const { return rows_ * row_lines_; }

  /// The next `count` cache lines, into the second-level cache.
  void fetch(int64_t count) {
    for (; count > 0 && row_ < rows_; --count) {
      __builtin_prefetch(reinterpret_cast<const void*>(at_ + static_cast<uintptr_t>(row_ * stride_ + line_ * kLine)), 0,
                         2);
      if (++line_ == row_lines_) {
        line_ = 0;
        ++row_;
      }
    }
  }

 private:
  static constexpr int64_t kLine = 64;

  uintptr_t at_ = 0;
  int64_t stride_ = 0, rows_ = 0, row_lines_ = 0;  // of a row: bytes to the next, cache lines
  int64_t row_ = 0, line_ = 0;
};

}  // namespace ln::cpu
