// AdamW on float32 states. Bound by bytes: 28 per parameter (parameter, gradient and two moments read, all but the
// gradient written). The scale of the gradients is found by one warp before, from sums that the host never sees.
#include "adamw_step.cuh"
#include "packs.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

struct Step {
  float* parameters;
  const float* gradients;
  float* first_moments;
  float* second_moments;
  AdamwScalars scalars;
  float scale;  // of the gradients; known on the device

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    Pack<kWidth> p = load_pack<kWidth>(parameters, i);
    const Pack<kWidth> gradient = load_pack<kWidth>(gradients, i);
    Pack<kWidth> m = load_pack<kWidth>(first_moments, i), v = load_pack<kWidth>(second_moments, i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) adamw_step(p.at[j], m.at[j], v.at[j], gradient.at[j] * scale, scalars);
    store_pack<kWidth>(parameters, i, p);
    store_pack<kWidth>(first_moments, i, m);
    store_pack<kWidth>(second_moments, i, v);
  }
};

template <int kWidth>
__global__ void __launch_bounds__(kEachThreads) step_each(Step step, int64_t n) {
  if (adamw_scale(step.scalars, step.scale)) walk_each<kWidth>(step, n);
}

constexpr double kClipEpsilon = 1e-6;  // torch's

__global__ void __launch_bounds__(kWarp) find_scale(const double* sums, int64_t count, double max_norm, float* scale) {
  bool finite = true;
  for (int64_t i = threadIdx.x; i < count; i += kWarp) finite = finite && fabs(sums[i]) < INFINITY;
  const bool none = __any_sync(kAllLanes, finite ? 0 : 1) != 0;
  if (threadIdx.x != 0) return;
  const double clipped = max_norm > 0 ? fmin(1.0, max_norm / (sqrt(sums[0]) + kClipEpsilon)) : 1.0;
  *scale = none ? NAN : static_cast<float>(clipped);
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void gradient_scale(ln_context& context, const double* sums, int64_t count, double max_norm, float* scale) {
  cuda::launch(context, "ln_gradient_scale", cuda::find_scale, 1, cuda::kWarp, 0, sums, count, max_norm, scale);
}

void adamw(ln_context& context, const ln_adamw_args& args) {
  using namespace cuda;
  const Step step = {args.parameters, args.gradients, args.first_moments, args.second_moments, adamw_scalars(args), 1};
  const bool in_packs = aligned_to_packs({args.parameters, args.gradients, args.first_moments, args.second_moments});
  launch(context, "ln_adamw", in_packs ? step_each<4> : step_each<1>,
         blocks_for(in_packs ? ceil_div<int64_t>(args.n, 4) : args.n, kEachThreads), kEachThreads, 0, step, args.n);
}

}  // namespace ln::backend
