#include "dropout.hpp"

#include "cpu_backend.hpp"

namespace ln::backend {

static_assert(cpu::kElementsPerTask % 4 == 0, "a task must start at a new Philox block");

void dropout(ln_context& context, const float* x, float* y, int64_t n, float p, int64_t seed, int64_t stream,
             bool accumulate) {
  const cpu::DropoutKernels& kernels = cpu::dropout_kernels(cpu::tier(context));
  const double share = static_cast<double>(p);
  const uint64_t threshold = static_cast<uint64_t>(share * 0x1p32);
  const float scale = static_cast<float>(share == 1 ? 1 : 1 / (1 - share));
  cpu::pool(context).ranges(n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.dropout(x + first, y + first, first, last - first, threshold, scale, static_cast<uint64_t>(seed),
                    static_cast<uint64_t>(stream), accumulate);
  });
}

}  // namespace ln::backend
