#include "moe.hpp"
#include "simd/simd.hpp"

namespace ln::cpu::LN_TIER {

namespace {

// Registers that a pass over the rows of a token fills at once: enough to read each row in whole cache lines.
constexpr int64_t kBlock = 4;

LN_INLINE float weight_of(const float* weights, int64_t pair) { return weights == nullptr ? 1.0f : weights[pair]; }

void combine_fwd(const float* x, const int32_t* rows_of_pairs, const float* weights, float* y, int64_t tokens,
                 int64_t top_k, int64_t width, bool accumulate) {
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t first = t * top_k, last = first + top_k;
    float* out = y + t * width;
    int64_t c = 0;
    for (; c + kBlock * kWidth <= width; c += kBlock * kWidth) {
      vf total[kBlock] = {};
      for (int64_t pair = first; pair < last; ++pair) {
        const float* row = x + rows_of_pairs[pair] * width + c;
        const vf weight = broadcast(weight_of(weights, pair));
        for (int64_t i = 0; i < kBlock; ++i) total[i] = fma(weight, load(row + i * kWidth), total[i]);
      }
      for (int64_t i = 0; i < kBlock; ++i) {
        float* to = out + c + i * kWidth;
        store(to, accumulate ? load(to) + total[i] : total[i]);
      }
    }
    for (; c < width; c += kWidth) {
      const int64_t count = width - c < kWidth ? width - c : kWidth;
      const bool whole = count == kWidth;
      vf total = {};
      for (int64_t pair = first; pair < last; ++pair) {
        const float* row = x + rows_of_pairs[pair] * width + c;
        total = fma(broadcast(weight_of(weights, pair)), whole ? load(row) : load_part(row, count), total);
      }
      if (accumulate) total += whole ? load(out + c) : load_part(out + c, count);
      if (whole) {
        store(out + c, total);
      } else {
        store_part(out + c, total, count);
      }
    }
  }
}

void combine_bwd(const float* dy, const float* x, const int32_t* rows_of_pairs, const float* weights, float* dx,
                 float* dweights, int64_t tokens, int64_t top_k, int64_t width) {
  for (int64_t pair = 0; pair < tokens * top_k; ++pair) {
    const float* dy_row = dy + pair / top_k * width;
    const float* x_row = x + rows_of_pairs[pair] * width;
    float* dx_row = dx + rows_of_pairs[pair] * width;
    const vf weight = broadcast(weights[pair]);
    vf total[2] = {};
    int64_t c = 0;
    for (; c + 2 * kWidth <= width; c += 2 * kWidth) {
      for (int64_t i = 0; i < 2; ++i) {
        const int64_t at = c + i * kWidth;
        const vf g = load(dy_row + at);
        total[i] = fma(g, load(x_row + at), total[i]);
        store(dx_row + at, weight * g);
      }
    }
    for (; c + kWidth <= width; c += kWidth) {
      const vf g = load(dy_row + c);
      total[0] = fma(g, load(x_row + c), total[0]);
      store(dx_row + c, weight * g);
    }
    if (c < width) {
      const vf g = load_part(dy_row + c, width - c);
      total[1] = fma(g, load_part(x_row + c, width - c), total[1]);
      store_part(dx_row + c, weight * g, width - c);
    }
    dweights[pair] = sum(total[0] + total[1]);
  }
}

}  // namespace

const MoeKernels& moe_kernels() {
  static const MoeKernels kernels = {combine_fwd, combine_bwd};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
