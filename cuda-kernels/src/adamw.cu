// AdamW on float32 states. Bound by bytes: 28 per parameter (parameter, gradient and two moments read, all but the
// gradient written).
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

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    Pack<kWidth> p = load_pack<kWidth>(parameters, i);
    const Pack<kWidth> gradient = load_pack<kWidth>(gradients, i);
    Pack<kWidth> m = load_pack<kWidth>(first_moments, i), v = load_pack<kWidth>(second_moments, i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) adamw_step(p.at[j], m.at[j], v.at[j], gradient.at[j], scalars);
    store_pack<kWidth>(parameters, i, p);
    store_pack<kWidth>(first_moments, i, m);
    store_pack<kWidth>(second_moments, i, v);
  }
};

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void adamw(ln_context& context, const ln_adamw_args& args) {
  using namespace cuda;
  const Step step = {args.parameters, args.gradients, args.first_moments, args.second_moments, adamw_scalars(args)};
  launch_each(context, "ln_adamw", step, args.n,
              aligned_to_packs({args.parameters, args.gradients, args.first_moments, args.second_moments}));
}

}  // namespace ln::backend
