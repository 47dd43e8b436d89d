#include "elementwise.hpp"

#include "cpu_backend.hpp"

namespace ln::backend {

void axpby(ln_context& context, float alpha, const float* x, float beta, float* y, int64_t n) {
  const cpu::ElementwiseKernels& kernels = cpu::elementwise_kernels(cpu::tier(context));
  cpu::pool(context).ranges(n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.axpby(alpha, x + first, beta, y + first, last - first);
  });
}

}  // namespace ln::backend
