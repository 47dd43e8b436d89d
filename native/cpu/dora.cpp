#include "dora.hpp"

#include <algorithm>

#include "cpu_backend.hpp"
#include "quantized_check.hpp"

namespace ln::backend {

namespace {

// One cache line: enough tasks even for narrow layers.
constexpr int64_t kColumnsPerTask = 16;

}  // namespace

void dora_norms(ln_context& context, const void* weight, int32_t weight_dtype, const float* lora_a, const float* lora_b,
                float scale, float* norms, int64_t out, int64_t in, int64_t rank, const Checker& check) {
  cpu::require_quantized(check, "weight", weight, weight_dtype, out * in);
  const cpu::DoraKernels& kernels = cpu::dora_kernels(cpu::tier(context));
  const cpu::AdaptedWeight adapted = {weight, lora_a, lora_b, out, in, rank, weight_dtype, scale};
  // Rows in fours, as the kernels take them; a row costs about rank + 1 passes over its length.
  const int64_t rows = std::max<int64_t>(4, cpu::rows_per_task(in * (rank + 1)) / 4 * 4);
  cpu::pool(context).ranges(out, rows,
                            [&](int64_t first, int64_t last, int) { kernels.norms(adapted, norms, first, last); });
}

void dora_fwd(ln_context& context, const ln_dora_fwd_args& args) {
  const cpu::DoraKernels& kernels = cpu::dora_kernels(cpu::tier(context));
  cpu::pool(context).ranges(args.rows, cpu::rows_per_task(args.out),
                            [&](int64_t first, int64_t last, int) { kernels.forward(args, first, last); });
}

void dora_bwd(ln_context& context, const ln_dora_bwd_args& args) {
  const cpu::DoraKernels& kernels = cpu::dora_kernels(cpu::tier(context));
  // First the gradient of the magnitude: dz may take the place of dy or z.
  if (args.grad_magnitude != nullptr) {
    cpu::pool(context).ranges(args.out, kColumnsPerTask,
                              [&](int64_t first, int64_t last, int) { kernels.magnitude_gradient(args, first, last); });
  }
  cpu::pool(context).ranges(args.rows, cpu::rows_per_task(args.out),
                            [&](int64_t first, int64_t last, int) { kernels.backward(args, first, last); });
}

}  // namespace ln::backend
