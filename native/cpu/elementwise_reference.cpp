#include "elementwise.hpp"

namespace ln::cpu::reference {

namespace {

void axpby(float alpha, const float* x, float beta, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = beta == 0 ? alpha * x[i] : alpha * x[i] + beta * y[i];
}

}  // namespace

const ElementwiseKernels& elementwise_kernels() {
  static const ElementwiseKernels kernels = {axpby};
  return kernels;
}

}  // namespace ln::cpu::reference
