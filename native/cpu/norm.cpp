#include "norm.hpp"

#include "cpu_backend.hpp"

namespace ln::backend {

namespace {

// One cache line: enough tasks even for the norm of a head.
constexpr int64_t kColumnsPerTask = 16;

}  // namespace

void rmsnorm_fwd(ln_context& context, const ln_rmsnorm_fwd_args& args) {
  const cpu::NormKernels& kernels = cpu::norm_kernels(cpu::tier(context));
  cpu::pool(context).ranges(args.rows, cpu::rows_per_task(args.width),
                            [&](int64_t first, int64_t last, int) { kernels.forward(args, first, last); });
}

void rmsnorm_bwd(ln_context& context, const ln_rmsnorm_bwd_args& args) {
  const cpu::NormKernels& kernels = cpu::norm_kernels(cpu::tier(context));
  // First the gradient of the weight: dx may take the place of dy.
  if (args.grad_weight != nullptr) {
    cpu::pool(context).ranges(args.width, kColumnsPerTask,
                              [&](int64_t first, int64_t last, int) { kernels.weight_gradient(args, first, last); });
  }
  cpu::pool(context).ranges(args.rows, cpu::rows_per_task(args.width),
                            [&](int64_t first, int64_t last, int) { kernels.backward(args, first, last); });
}

}  // namespace ln::backend
