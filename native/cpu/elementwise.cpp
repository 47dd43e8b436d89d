#include "elementwise.hpp"

#include "cpu_backend.hpp"

namespace ln::backend {

void axpby(ln_context& context, float alpha, const float* x, float beta, float* y, int64_t n) {
  const cpu::ElementwiseKernels& kernels = cpu::elementwise_kernels(cpu::tier(context));
  cpu::pool(context).ranges(n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.axpby(alpha, x + first, beta, y + first, last - first);
  });
}

void clamp_fwd(ln_context& context, float* x, int64_t n, float limit) {
  const cpu::ElementwiseKernels& kernels = cpu::elementwise_kernels(cpu::tier(context));
  cpu::pool(context).ranges(n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.clamp_fwd(x + first, last - first, limit);
  });
}

void clamp_bwd(ln_context& context, const float* y, float* dy, int64_t n, float limit) {
  const cpu::ElementwiseKernels& kernels = cpu::elementwise_kernels(cpu::tier(context));
  cpu::pool(context).ranges(n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.clamp_bwd(y + first, dy + first, last - first, limit);
  });
}

}  // namespace ln::backend
