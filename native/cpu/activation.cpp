#include "activation.hpp"

#include "cpu_backend.hpp"

namespace ln::backend {

void gated_activation_fwd(ln_context& context, int32_t activation, const float* gate, const float* up, float* y,
                          int64_t n) {
  const cpu::ActivationKernels& kernels = cpu::activation_kernels(cpu::tier(context));
  cpu::pool(context).ranges(n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.gated_fwd(activation, gate + first, up + first, y + first, last - first);
  });
}

void gated_activation_bwd(ln_context& context, int32_t activation, const float* dy, const float* gate, const float* up,
                          float* dgate, float* dup, int64_t n) {
  const cpu::ActivationKernels& kernels = cpu::activation_kernels(cpu::tier(context));
  cpu::pool(context).ranges(n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.gated_bwd(activation, dy + first, gate + first, up + first, dgate + first, dup + first, last - first);
  });
}

void sigmoid_gate_fwd(ln_context& context, const float* x, const float* gate, float* y, int64_t rows, int64_t width,
                      bool accumulate) {
  const cpu::ActivationKernels& kernels = cpu::activation_kernels(cpu::tier(context));
  cpu::pool(context).ranges(rows, cpu::rows_per_task(width), [&](int64_t first, int64_t last, int) {
    kernels.sigmoid_gate_fwd(x + first * width, gate + first, y + first * width, last - first, width, accumulate);
  });
}

void sigmoid_gate_bwd(ln_context& context, const float* dy, const float* x, const float* gate, float* dx, float* dgate,
                      int64_t rows, int64_t width) {
  const cpu::ActivationKernels& kernels = cpu::activation_kernels(cpu::tier(context));
  cpu::pool(context).ranges(rows, cpu::rows_per_task(width), [&](int64_t first, int64_t last, int) {
    kernels.sigmoid_gate_bwd(dy + first * width, x + first * width, gate + first, dx + first * width, dgate + first,
                             last - first, width);
  });
}

}  // namespace ln::backend
