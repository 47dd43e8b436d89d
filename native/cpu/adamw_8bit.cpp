#include "adamw_8bit.hpp"

#include <cmath>

#include "adamw_scalars.hpp"
#include "cpu_backend.hpp"

namespace ln::backend {

void adamw_8bit(ln_context& context, const ln_adamw_8bit_args& args) {
  const cpu::AdamwScalars scalars = cpu::adamw_scalars(args);
  if (!std::isfinite(scalars.gradient_scale)) return;
  const cpu::Adamw8bitKernels& kernels = cpu::adamw_8bit_kernels(cpu::tier(context));
  const int64_t blocks = (args.n + cpu::kMomentBlock - 1) / cpu::kMomentBlock;
  cpu::pool(context).ranges(blocks, cpu::rows_per_task(cpu::kMomentBlock),
                            [&](int64_t first, int64_t last, int) { kernels.step(args, first, last, scalars); });
}

}  // namespace ln::backend
