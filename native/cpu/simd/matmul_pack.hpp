// Packers of the matrix products: panels of either operand as float32, k-major, from any format and orientation.
#pragma once

#include <type_traits>

#include "matmul_reader.hpp"
#include "transpose.hpp"

namespace ln::cpu::LN_TIER {

// The register tile: rows x vectors accumulators, the vectors of b and one broadcast of a must fit the register file
// (32 registers in AVX-512 and NEON, 16 elsewhere).
#if LN_WIDTH == 16
constexpr int kTileRows = 14, kTileVectors = 2;
#elif defined(__aarch64__)
constexpr int kTileRows = 8, kTileVectors = 3;
#else
constexpr int kTileRows = 6, kTileVectors = 2;
#endif
constexpr int kTileColumns = kTileVectors * LN_WIDTH;
constexpr int kPanelStride = (kTileRows + LN_WIDTH - 1) / LN_WIDTH * LN_WIDTH;

// ---- panels
// ----------------------------------------------------------------------------------------------------------------

/// A square of pack_lines: all of its steps, its lines as far as there are.
template <typename Source, bool kAllLines>
LN_INLINE void pack_square(const Source& source, int64_t line, int64_t lines, int64_t at, vf scale, float* panel,
                           int64_t stride) {
  vf x[LN_WIDTH];
#pragma GCC unroll 16
  for (int i = 0; i < LN_WIDTH; ++i) {
    // Lines of a power of two compete for few places of the nearest cache: the next ones wait in the second.
    source.template prefetch<2>(line + LN_WIDTH + i, at);
    x[i] = kAllLines || i < lines ? source.read(line + i, at) * scale : (vf){};
  }
  transpose(x);
#pragma GCC unroll 16
  for (int i = 0; i < LN_WIDTH; ++i) store(panel + i * stride, x[i]);
}

/// As pack_square, for twice as many steps of bfloat16 numbers: neighbours in k stay together while words are
/// transposed.
LN_INLINE void pack_pairs(const Reader<LN_BF16>& source, int64_t line, int64_t at, vf scale, float* panel,
                          int64_t stride) {
  vf words[LN_WIDTH];
#pragma GCC unroll 16
  for (int i = 0; i < LN_WIDTH; ++i) {
    source.template prefetch<2>(line + LN_WIDTH + i, at);
    memcpy(&words[i], (const uint16_t*)source.data + (line + i) * source.ld + at, sizeof(vf));
  }
  transpose(words);
#pragma GCC unroll 16
  for (int i = 0; i < LN_WIDTH; ++i) {
    const vu pair = (vu)words[i];  // the lower half is the first
    store(panel + 2 * i * stride, (vf)(pair << 16) * scale);
    store(panel + (2 * i + 1) * stride, (vf)(pair & 0xffff0000u) * scale);
  }
}

/// panel[p * stride + i] = scale * source[line + i, at + p] for i < lines <= kWidth, p < count: k runs along memory.
template <typename Source>
LN_INLINE void pack_lines(const Source& source, int64_t line, int64_t lines, int64_t at, int64_t count, vf scale,
                          float* panel, int64_t stride) {
  int64_t p = 0;
  if (lines == kWidth) {
    if constexpr (std::is_same_v<Source, Reader<LN_BF16>>) {
      for (; p + 2 * kWidth <= count; p += 2 * kWidth) {
        pack_pairs(source, line, at + p, scale, panel + p * stride, stride);
      }
    }
    for (; p + kWidth <= count; p += kWidth) {
      pack_square<Source, true>(source, line, lines, at + p, scale, panel + p * stride, stride);
    }
  } else {
    for (; p + kWidth <= count; p += kWidth) {
      pack_square<Source, false>(source, line, lines, at + p, scale, panel + p * stride, stride);
    }
  }
  if (p == count) return;
  vf x[LN_WIDTH];
#pragma GCC unroll 16
  for (int i = 0; i < LN_WIDTH; ++i) x[i] = i < lines ? source.read_some(line + i, at + p, count - p) * scale : (vf){};
  transpose(x);
#pragma GCC unroll 16
  for (int i = 0; i < LN_WIDTH; ++i) {
    if (p + i < count) store(panel + (p + i) * stride, x[i]);
  }
}

template <typename Source>
void pack_a_from(const Source& a, bool transposed, int64_t m, int64_t row, int64_t rows, int64_t k, int64_t count,
                 float scale, float* panel) {
  const vf factor = broadcast(scale);
  for (int64_t i = 0; i < rows; i += kWidth) {
    if (!transposed) {
      pack_lines(a, row + i, rows - i < kWidth ? rows - i : kWidth, k, count, factor, panel + i, kPanelStride);
      continue;
    }
    // Rows lie along memory: a whole register of them is read where the matrix has as many, though the tile may use
    // fewer.
    const int64_t left = m - row - i;
    for (int64_t p = 0; p < count; ++p) store(panel + p * kPanelStride + i, a.read_some(k + p, row + i, left) * factor);
  }
}

template <typename Source>
void pack_b_from(const Source& b, bool transposed, int64_t k, int64_t count, int64_t column, int64_t columns,
                 float* panels, int64_t panel_step) {
  if (transposed) {
    for (int64_t j = 0; j < columns; j += kWidth) {
      pack_lines(b, column + j, columns - j < kWidth ? columns - j : kWidth, k, count, broadcast(1.0f),
                 panels + j / kTileColumns * panel_step + j % kTileColumns, kTileColumns);
    }
    return;
  }
  const int64_t whole = columns / kTileColumns;
  for (int64_t p = 0; p < count; ++p) {
    float* target = panels + p * kTileColumns;
    for (int64_t panel = 0; panel < whole; ++panel, target += panel_step) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        const int64_t j = column + panel * kTileColumns + v * kWidth;
        b.prefetch(k + p + 8, j);
        store(target + v * kWidth, b.read(k + p, j));
      }
    }
    for (int64_t j = whole * kTileColumns; j < columns; j += kWidth, target += kWidth) {
      store(target, b.read_some(k + p, column + j, columns - j));
    }
  }
}

}  // namespace ln::cpu::LN_TIER
