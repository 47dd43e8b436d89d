#include "cross_entropy.hpp"
#include "simd/math.hpp"

namespace ln::cpu::LN_TIER {

namespace {

// Exponentials are added in float32 this many at a time, the blocks in float64: a vocabulary of 150 000 loses no
// digits.
constexpr int64_t kBlock = 1024;

LN_INLINE float largest_of(const float* x, int64_t n) {
  vf best[2] = {broadcast(-__builtin_inff()), broadcast(-__builtin_inff())};
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    best[0] = max(load(x + i), best[0]);
    best[1] = max(load(x + i + kWidth), best[1]);
  }
  float largest = max_lane(max(best[0], best[1]));
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

/// Sum of exp(x - shift), which replaces x if `keep`; no x is above shift.
LN_INLINE double sum_of_exponentials(float* x, int64_t n, float shift, bool keep) {
  const vf shifts = broadcast(shift);
  double total = 0;
  int64_t i = 0;
  while (i + kWidth <= n) {
    const int64_t end = i + kBlock <= n ? i + kBlock : n;
    vf block = {};
    for (; i + kWidth <= end; i += kWidth) {
      const vf e = exp_of_negative(load(x + i) - shifts);
      if (keep) store(x + i, e);
      block += e;
    }
    total += (double)sum(block);
  }
  if (i < n) {
    const vf e = exp_of_negative(load_part(x + i, n - i) - shifts);
    if (keep) store_part(x + i, e, n - i);
    float lane[LN_WIDTH];
    memcpy(lane, &e, sizeof(e));
    for (int64_t l = 0; l < n - i; ++l) total += (double)lane[l];
  }
  return total;
}

float row(float* logits, int64_t vocabulary, int64_t label, float gradient_scale, bool want_gradient) {
  const float largest = largest_of(logits, vocabulary);
  const double distance = (double)largest - (double)logits[label];
  const double total = sum_of_exponentials(logits, vocabulary, largest, want_gradient);
  if (want_gradient) {
    const double label_probability = (double)logits[label] / total;
    const float factor = (float)((double)gradient_scale / total);
    const vf factors = broadcast(factor);
    int64_t i = 0;
    for (; i + kWidth <= vocabulary; i += kWidth) store(logits + i, load(logits + i) * factors);
    for (; i < vocabulary; ++i) logits[i] *= factor;
    logits[label] = (float)((double)gradient_scale * (label_probability - 1));
  }
  return (float)(__builtin_log(total) + distance);
}

}  // namespace

const CrossEntropyKernels& cross_entropy_kernels() {
  static const CrossEntropyKernels kernels = {row};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
