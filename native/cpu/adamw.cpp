#include "adamw.hpp"

#include <cmath>

#include "cpu_backend.hpp"

namespace ln::backend {

void adamw(ln_context& context, const ln_adamw_args& args) {
  const double steps = static_cast<double>(args.step);
  const double correction1 = 1 - std::pow(args.beta1, steps);
  const double correction2 = 1 - std::pow(args.beta2, steps);
  const cpu::AdamwScalars scalars = {
      .gradient_scale = static_cast<float>(args.gradient_scale),
      .decay = static_cast<float>(1 - args.learning_rate * args.weight_decay),
      .beta1_complement = static_cast<float>(1 - args.beta1),
      .beta2 = static_cast<float>(args.beta2),
      .beta2_complement = static_cast<float>(1 - args.beta2),
      .step_size = static_cast<float>(args.learning_rate / correction1),
      .correction2_root = static_cast<float>(std::sqrt(correction2)),
      .epsilon = static_cast<float>(args.epsilon),
  };
  const cpu::AdamwKernels& kernels = cpu::adamw_kernels(cpu::tier(context));
  cpu::pool(context).ranges(args.n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.step(args.parameters + first, args.gradients + first, args.first_moments + first,
                 args.second_moments + first, last - first, scalars);
  });
}

}  // namespace ln::backend
