#include "elementwise.hpp"
#include "simd/simd.hpp"

namespace ln::cpu::LN_TIER {

namespace {

void axpby(float alpha, const float* x, float beta, float* y, int64_t n) {
  const vf a = broadcast(alpha), b = broadcast(beta);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, beta == 0 ? a * load(x + i) : fma(a, load(x + i), b * load(y + i)));
  for (; i < n; ++i) y[i] = beta == 0 ? alpha * x[i] : alpha * x[i] + beta * y[i];
}

}  // namespace

const ElementwiseKernels& elementwise_kernels() {
  static const ElementwiseKernels kernels = {axpby};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
