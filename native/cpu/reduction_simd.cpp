#include "reduction.hpp"
#include "simd/rows.hpp"

namespace ln::cpu::LN_TIER {

namespace {

constexpr int64_t kDoubles = LN_WIDTH / 2;         // per register
constexpr int64_t kRegisters = kLanes / kDoubles;  // for all lanes

typedef double vd __attribute__((vector_size(LN_WIDTH * 4)));
typedef float vf_half __attribute__((vector_size(LN_WIDTH * 2)));

LN_INLINE vd load_doubles(const float* p) {
  vf_half h;
  memcpy(&h, p, sizeof(h));
  return __builtin_convertvector(h, vd);
}

template <bool Squares>
LN_INLINE double add_up(const float* x, int64_t n) {
  vd total[kRegisters] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t r = 0; r < kRegisters; ++r) {
      const vd value = load_doubles(x + i + r * kDoubles);
      total[r] += Squares ? value * value : value;
    }
  }
  double lane[kLanes];
  memcpy(lane, total, sizeof(lane));
  for (int64_t l = 0; i < n; ++i, ++l) lane[l] += Squares ? (double)x[i] * (double)x[i] : (double)x[i];
  double result = 0;
  for (int64_t l = 0; l < kLanes; ++l) result += lane[l];
  return result;
}

double sum(const float* x, int64_t n) { return add_up<false>(x, n); }
double sum_of_squares(const float* x, int64_t n) { return add_up<true>(x, n); }

// Rows are added in blocks, then the blocks: thousands of rows lose no digits.
constexpr int64_t kRowsPerBlock = 64;

void column_sums(const float* x, float* result, int64_t rows, int64_t columns, int64_t first, int64_t last) {
  for (int64_t c = first; c < last; c += kWidth) {
    const int64_t count = last - c;
    vf total = {};
    for (int64_t r = 0; r < rows;) {
      const int64_t end = r + kRowsPerBlock < rows ? r + kRowsPerBlock : rows;
      vf block = {};
      for (; r < end; ++r) block += load_some(x + r * columns + c, count);
      total += block;
    }
    store_some(result + c, load_some(result + c, count) + total, count);
  }
}

}  // namespace

const ReductionKernels& reduction_kernels() {
  static const ReductionKernels kernels = {sum, sum_of_squares, column_sums};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
