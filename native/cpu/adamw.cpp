#include "adamw.hpp"

#include "adamw_scalars.hpp"
#include "cpu_backend.hpp"

namespace ln::backend {

void adamw(ln_context& context, const ln_adamw_args& args) {
  const cpu::AdamwScalars scalars = cpu::adamw_scalars(args);
  const cpu::AdamwKernels& kernels = cpu::adamw_kernels(cpu::tier(context));
  cpu::pool(context).ranges(args.n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.step(args.parameters + first, args.gradients + first, args.first_moments + first,
                 args.second_moments + first, last - first, scalars);
  });
}

}  // namespace ln::backend
