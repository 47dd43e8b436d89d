// Products with 4-bit weights: dequantisation in the packers and in the kernels of few rows. These overload the
// functions of the same names for the formats that are read element by element, and take over where lines are
// multiples of kWidth, so that codes start at a byte and a register never straddles two blocks.
#pragma once

#include "matmul_pack.hpp"
#include "matmul_rows.hpp"

namespace ln::cpu::LN_TIER {

// As kDirectGroup and kDotColumns; the tables of scaled values take registers too: one, two, or four in NEON. A look-up
// costs more than a load, so more rows share it. kQuantizedLines is the number of lines that add to c at a time.
#if LN_WIDTH == 16
constexpr int kQuantizedGroup = 8, kQuantizedColumns = 4, kQuantizedTotals = 16, kQuantizedLines = 8;
#elif defined(__aarch64__)
constexpr int kQuantizedGroup = 4, kQuantizedColumns = 2, kQuantizedTotals = 8, kQuantizedLines = 4;
#else
constexpr int kQuantizedGroup = 4, kQuantizedColumns = 2, kQuantizedTotals = 4, kQuantizedLines = 4;
#endif

// A task's columns of a line are one or two cache lines, far from those of the next line.
constexpr int64_t kPrefetchLines = 16;

// Runs whose scales are decoded together.
constexpr int64_t kRuns = 32;

/// log2 of a run: elements of a line that share a block wherever they start at a multiple of their number.
template <int Type>
LN_INLINE int run_shift(const QuantizedReader<Type>& source) {
  const int line = shift_of(source.ld & -source.ld);
  return source.scales.shift < line ? source.scales.shift : line;
}

// ---- panels ---------------------------------------------------------------------------------------------------------

/// `count` words of eight codes as they lie, up to kWidth.
LN_INLINE vf load_words(const uint8_t* codes, int64_t count) {
  vf words = {};
  if (count == kWidth) {
    memcpy(&words, codes, sizeof(words));
  } else {
    memcpy(&words, codes, (size_t)count * 4);
  }
  return words;
}

/// Codes are transposed, not values: kWidth lines of words of eight codes become words that hold one line per lane, and
/// each shift of such a word is a step of k, ready to be stored after a look-up. Lines that are missing repeat the
/// last.
template <int Type>
LN_INLINE void pack_words(const QuantizedReader<Type>& source, int64_t line, int64_t lines, int64_t at, int64_t words,
                          float* panel, int64_t stride) {
  const Table table = table_of<Type>();
  const int shift = run_shift(source);
  int64_t start[LN_WIDTH];
  for (int i = 0; i < LN_WIDTH; ++i) start[i] = (line + (i < lines ? i : lines - 1)) * source.ld;
  for (int64_t first = 0; first < words; first += kWidth) {
    const int64_t count = words - first < kWidth ? words - first : kWidth, from = at + 8 * first;
    const int64_t run = from >> shift, runs = ((from + 8 * count - 1) >> shift) - run + 1;
    float scale[LN_WIDTH + 1][LN_WIDTH];  // a run has 8 elements or more
    vf word[LN_WIDTH];
#pragma GCC unroll 16
    for (int i = 0; i < LN_WIDTH; ++i) {
      source.scales.spread(start[i] + (run << shift), (int64_t)1 << shift, runs, &scale[0][i], kWidth);
      word[i] = load_words(source.codes + ((start[i] + from) >> 1), count);
    }
    transpose(word);
    for (int64_t w = 0; w < count; ++w) {
      const vf factor = load(scale[((from + 8 * w) >> shift) - run]);
      const vu codes = (vu)word[w];
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        store(panel + (8 * (first + w) + i) * stride, table.look_up(codes >> kCodeShifts[i]) * factor);
      }
    }
  }
}

template <int Type>
void pack_b_from(const QuantizedReader<Type>& b, bool transposed, int64_t k, int64_t count, int64_t column,
                 int64_t columns, float* panels, int64_t panel_step) {
  const auto target = [&](int64_t j) { return panels + j / kTileColumns * panel_step + j % kTileColumns; };
  if (transposed) {
    const int64_t words = b.ld % 8 == 0 && k % 8 == 0 ? count / 8 : 0;
    for (int64_t j = 0; j < columns; j += kWidth) {
      const int64_t lines = columns - j < kWidth ? columns - j : kWidth;
      pack_words(b, column + j, lines, k, words, target(j), kTileColumns);
      pack_lines(b, column + j, lines, k + 8 * words, count - 8 * words, broadcast(1.0f),
                 target(j) + 8 * words * kTileColumns, kTileColumns);
    }
    return;
  }
  const Table values = table_of<Type>();
  for (int64_t p = 0; p < count; ++p) {
    int64_t j = 0;
    if (b.aligned()) {
      b.prefetch(k + p + kPrefetchLines, column);
      const int64_t at = (k + p) * b.ld + column, whole = columns / kWidth * kWidth;
      const uint8_t* const codes = b.codes + (at >> 1);
      float* panel = panels + p * kTileColumns;
      int vector = 0;
      while (j < whole) {
        const Table table = values.scaled(b.scales.at(at + j));
        const int64_t block = b.scales.end(at + j) - at, end = block < whole ? block : whole;
        for (; j < end; j += kWidth) {
          store(panel + vector * kWidth, table.look_up(codes_at(codes + (j >> 1))));
          if (++vector < kTileVectors) continue;
          vector = 0;
          panel += panel_step;
        }
      }
    }
    for (; j < columns; j += kWidth) store(target(j) + p * kTileColumns, b.read_some(k + p, column + j, columns - j));
  }
}

// ---- few rows -------------------------------------------------------------------------------------------------------

/// total[i][j] += a[i, p] * table[j][codes[j][p]] over p < count, a multiple of kWidth; in woven order where that is
/// cheaper, which is the same for the sum over the lanes.
template <int R, int C>
LN_INLINE void dot_run(const float* a, int64_t lda, const Table (&table)[C], const uint8_t* const (&codes)[C],
                       int64_t count, vf (&total)[R][C]) {
  constexpr bool kWoven = R < C;
  for (int64_t p = 0; p < count; p += kWidth) {
    vf y[C];
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) {
      const uint8_t* const here = codes[j] + (p >> 1);
      y[j] = table[j].look_up(kWoven ? woven_codes_at(here) : codes_at(here));
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const vf x = load(a + i * lda + p), right = kWoven ? weave(x) : x;
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) total[i][j] = fma(right, y[j], total[i][j]);
    }
  }
}

/// As dots: k is a multiple of kWidth. A run of a line shares a scale, so the table takes it.
template <int R, int C, int Type>
LN_INLINE void quantized_dots(const float* a, int64_t lda, const QuantizedReader<Type>& b, int64_t column, int64_t k,
                              float scale, float* c, int64_t ldc) {
  const Table values = table_of<Type>();
  const int shift = run_shift(b);
  const int64_t run = (int64_t)1 << shift, all = (k + run - 1) >> shift;
  const uint8_t* line[C];
  for (int j = 0; j < C; ++j) line[j] = b.codes + ((column + j) * b.ld >> 1);
  const int64_t next = C * b.ld >> 1;
  vf total[R][C] = {};
  for (int64_t first = 0; first < all; first += kRuns) {
    const int64_t runs = all - first < kRuns ? all - first : kRuns;
    float scales[C][kRuns];
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) {
      b.scales.spread((column + j) * b.ld + (first << shift), run, runs, scales[j], 1);
    }
    for (int64_t r = 0; r < runs; ++r) {
      const int64_t p = (first + r) << shift;
      Table table[C];
      const uint8_t* codes[C];
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) {
        table[j] = values.scaled(scales[j][r]);
        codes[j] = line[j] + (p >> 1);
        __builtin_prefetch((const void*)((uintptr_t)codes[j] + (uintptr_t)next));  // the lines after these
      }
      if (run == 64) {  // what checkpoints have, unrolled
        dot_run(a + p, lda, table, codes, 64, total);
      } else {
        dot_run(a + p, lda, table, codes, run, total);
      }
    }
  }
  for (int i = 0; i < R; ++i) {
    for (int j = 0; j < C; ++j) c[i * ldc + j] += scale * sum(total[i][j]);
  }
}

template <int R, int Type>
void dot_rows(const float* a, int64_t lda, const QuantizedReader<Type>& b, int64_t first, int64_t last, int64_t k,
              float scale, float* c, int64_t ldc) {
  int64_t j = first;
  if (!b.aligned()) {
    for (; j < last; ++j) dots<R, 1>(a, lda, b, j, k, scale, c + j, ldc);
    return;
  }
  constexpr int C = kQuantizedTotals / R < kQuantizedColumns ? kQuantizedTotals / R : kQuantizedColumns;
  for (; j + C <= last; j += C) quantized_dots<R, C>(a, lda, b, j, k, scale, c + j, ldc);
  for (; j < last; ++j) quantized_dots<R, 1>(a, lda, b, j, k, scale, c + j, ldc);
}

/// c[i, j] += sum_q x[i][q] * table[q][codes[q][j]] over j < count, a multiple of kWidth.
template <int R, int L>
LN_INLINE void axpy_run(const float (&x)[R][L], const Table (&table)[L], const uint8_t* const (&codes)[L],
                        int64_t count, float* c, int64_t ldc) {
  constexpr bool kWoven = 2 * R <= L;
  for (int64_t j = 0; j < count; j += kWidth) {
    vf y[L];
#pragma GCC unroll 8
    for (int q = 0; q < L; ++q) {
      const uint8_t* const here = codes[q] + (j >> 1);
      y[q] = table[q].look_up(kWoven ? woven_codes_at(here) : codes_at(here));
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      float* const target = c + i * ldc + j;
      vf total = kWoven ? (vf){} : load(target);
#pragma GCC unroll 8
      for (int q = 0; q < L; ++q) total = fma(broadcast(x[i][q]), y[q], total);
      store(target, kWoven ? load(target) + unweave(total) : total);
    }
  }
}

/// As axpy_rows, for L lines of b: c[i, j] += sum_q x[i][q] * b[line + q, j] over whole registers of columns.
template <int R, int L, int Type>
LN_INLINE void quantized_axpy(const float (&x)[R][L], const QuantizedReader<Type>& b, int64_t line, int64_t first,
                              int64_t last, float* c, int64_t ldc) {
  const Table values = table_of<Type>();
  const int shift = run_shift(b);
  const int64_t run = (int64_t)1 << shift;
  for (int64_t at = first; at < last;) {
    const int64_t from = at >> shift, all = ((last - 1) >> shift) - from + 1, runs = all < kRuns ? all : kRuns;
    float scales[L][kRuns];
#pragma GCC unroll 8
    for (int q = 0; q < L; ++q) b.scales.spread((line + q) * b.ld + (from << shift), run, runs, scales[q], 1);
    for (int64_t r = 0; r < runs; ++r) {
      const int64_t end = (from + r + 1) << shift, count = (end < last ? end : last) - at;
      Table table[L];
      const uint8_t* codes[L];
#pragma GCC unroll 8
      for (int q = 0; q < L; ++q) {
        table[q] = values.scaled(scales[q][r]);
        codes[q] = b.codes + (((line + q) * b.ld + at) >> 1);
      }
      if (count == 64) {  // what checkpoints have, unrolled
        axpy_run(x, table, codes, 64, c + at, ldc);
      } else {
        axpy_run(x, table, codes, count, c + at, ldc);
      }
      at += count;
    }
  }
}

template <int R, int L, int Type>
LN_INLINE int64_t axpy_lines(const float* a, int64_t row_step, int64_t k_step, const QuantizedReader<Type>& b,
                             int64_t line, int64_t first_k, int64_t last_k, int64_t first, int64_t last, float scale,
                             float* c, int64_t ldc) {
  for (; line + L <= last_k; line += L) {
    float x[R][L];
    for (int i = 0; i < R; ++i) {
      for (int q = 0; q < L; ++q) x[i][q] = scale * a[i * row_step + (line - first_k + q) * k_step];
    }
    quantized_axpy<R, L>(x, b, line, first, last, c, ldc);
  }
  return line;
}

template <int R, int Type>
void axpy_rows(const float* a, int64_t row_step, int64_t k_step, const QuantizedReader<Type>& b, int64_t first_k,
               int64_t last_k, int64_t first, int64_t last, float scale, float* c, int64_t ldc) {
  if (!b.aligned()) {
    return axpy_rows<R, QuantizedReader<Type>>(a, row_step, k_step, b, first_k, last_k, first, last, scale, c, ldc);
  }
  const int64_t line =
      axpy_lines<R, kQuantizedLines>(a, row_step, k_step, b, first_k, first_k, last_k, first, last, scale, c, ldc);
  axpy_lines<R, 1>(a, row_step, k_step, b, line, first_k, last_k, first, last, scale, c, ldc);
}

template <typename Source>
constexpr bool reads_codes = false;
template <int Type>
constexpr bool reads_codes<QuantizedReader<Type>> = true;

/// Rows of a that share one reading of b.
template <typename Source>
constexpr int dot_group_of() {
  return reads_codes<Source> ? kQuantizedGroup : kDirectGroup;
}
template <typename Source>
constexpr int axpy_group_of() {
  return reads_codes<Source> ? kQuantizedGroup : kAxpyGroup;
}

}  // namespace ln::cpu::LN_TIER
