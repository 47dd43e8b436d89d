#include "moe.hpp"

namespace ln::cpu::reference {

namespace {

void combine_fwd(const float* x, const int32_t* rows_of_pairs, const float* weights, float* y, int64_t tokens,
                 int64_t top_k, int64_t width, bool accumulate) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t c = 0; c < width; ++c) {
      float total = 0;
      for (int64_t pair = t * top_k; pair < (t + 1) * top_k; ++pair) {
        total += (weights == nullptr ? 1 : weights[pair]) * x[rows_of_pairs[pair] * width + c];
      }
      y[t * width + c] = accumulate ? y[t * width + c] + total : total;
    }
  }
}

void combine_bwd(const float* dy, const float* x, const int32_t* rows_of_pairs, const float* weights, float* dx,
                 float* dweights, int64_t tokens, int64_t top_k, int64_t width) {
  for (int64_t pair = 0; pair < tokens * top_k; ++pair) {
    const float* dy_row = dy + pair / top_k * width;
    const int64_t row = rows_of_pairs[pair] * width;
    float total = 0;
    for (int64_t c = 0; c < width; ++c) {
      total += dy_row[c] * x[row + c];
      dx[row + c] = weights[pair] * dy_row[c];
    }
    dweights[pair] = total;
  }
}

}  // namespace

const MoeKernels& moe_kernels() {
  static const MoeKernels kernels = {combine_fwd, combine_bwd};
  return kernels;
}

}  // namespace ln::cpu::reference
