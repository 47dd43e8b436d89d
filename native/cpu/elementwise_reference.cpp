#include <cmath>

#include "elementwise.hpp"

namespace ln::cpu::reference {

namespace {

void axpby(float alpha, const float* x, float beta, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = beta == 0 ? alpha * x[i] : alpha * x[i] + beta * y[i];
}

// NaN stays NaN.
void clamp_fwd(float* x, int64_t n, float limit) {
  for (int64_t i = 0; i < n; ++i) {
    if (x[i] > limit) x[i] = limit;
    if (x[i] < -limit) x[i] = -limit;
  }
}

void clamp_bwd(const float* y, float* dy, int64_t n, float limit) {
  for (int64_t i = 0; i < n; ++i) {
    if (std::fabs(y[i]) >= limit) dy[i] = 0;
  }
}

}  // namespace

const ElementwiseKernels& elementwise_kernels() {
  static const ElementwiseKernels kernels = {axpby, clamp_fwd, clamp_bwd};
  return kernels;
}

}  // namespace ln::cpu::reference
