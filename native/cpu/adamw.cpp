#include "adamw.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "adamw_scalars.hpp"
#include "cpu_backend.hpp"

namespace ln::backend {

namespace {

constexpr double kClipEpsilon = 1e-6;  // torch's

}  // namespace

void gradient_scale(ln_context&, const double* sums, int64_t count, double max_norm, float* scale) {
  const bool finite = std::all_of(sums, sums + count, [](double sum) { return std::isfinite(sum); });
  const double clipped = max_norm > 0 ? std::min(1.0, max_norm / (std::sqrt(sums[0]) + kClipEpsilon)) : 1.0;
  *scale = finite ? static_cast<float>(clipped) : std::numeric_limits<float>::quiet_NaN();
}

void adamw(ln_context& context, const ln_adamw_args& args) {
  const cpu::AdamwScalars scalars = cpu::adamw_scalars(args);
  if (!std::isfinite(scalars.gradient_scale)) return;
  const cpu::AdamwKernels& kernels = cpu::adamw_kernels(cpu::tier(context));
  cpu::pool(context).ranges(args.n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.step(args.parameters + first, args.gradients + first, args.first_moments + first,
                 args.second_moments + first, last - first, scalars);
  });
}

}  // namespace ln::backend
