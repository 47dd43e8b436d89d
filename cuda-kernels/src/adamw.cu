// AdamW on float32 states. Bound by bytes: 28 per parameter (parameter, gradient and two moments read, all but the
// gradient written). What is the same for all elements is computed on the host in float64 and rounded, as torch does.
#include <cmath>

#include "packs.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

struct Step {
  float* parameters;
  const float* gradients;
  float* first_moments;
  float* second_moments;
  float gradient_scale;
  float decay;             // 1 - learning_rate * weight_decay
  float beta1_complement;  // 1 - beta1
  float beta2;
  float beta2_complement;  // 1 - beta2
  float step_size;         // learning_rate / (1 - beta1^step)
  float correction2_root;  // sqrt(1 - beta2^step)
  float epsilon;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    Pack<kWidth> p = load_pack<kWidth>(parameters, i);
    const Pack<kWidth> gradient = load_pack<kWidth>(gradients, i);
    Pack<kWidth> m = load_pack<kWidth>(first_moments, i), v = load_pack<kWidth>(second_moments, i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float g = gradient.at[j] * gradient_scale;
      // From the nearer end, so that without memory (beta1 = 0) m is g exactly.
      const float difference = g - m.at[j];
      m.at[j] =
          beta1_complement < 0.5f ? m.at[j] + beta1_complement * difference : g - difference * (1 - beta1_complement);
      v.at[j] = v.at[j] * beta2 + beta2_complement * g * g;
      const float denominator = __fsqrt_rn(v.at[j]) / correction2_root + epsilon;
      p.at[j] = p.at[j] * decay - step_size * m.at[j] / denominator;
    }
    store_pack<kWidth>(parameters, i, p);
    store_pack<kWidth>(first_moments, i, m);
    store_pack<kWidth>(second_moments, i, v);
  }
};

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void adamw(ln_context& context, const ln_adamw_args& args) {
  const double steps = static_cast<double>(args.step);
  const double correction1 = 1 - std::pow(args.beta1, steps);
  const double correction2 = 1 - std::pow(args.beta2, steps);
  const cuda::Step step = {args.parameters,
                           args.gradients,
                           args.first_moments,
                           args.second_moments,
                           static_cast<float>(args.gradient_scale),
                           static_cast<float>(1 - args.learning_rate * args.weight_decay),
                           static_cast<float>(1 - args.beta1),
                           static_cast<float>(args.beta2),
                           static_cast<float>(1 - args.beta2),
                           static_cast<float>(args.learning_rate / correction1),
                           static_cast<float>(std::sqrt(correction2)),
                           static_cast<float>(args.epsilon)};
  cuda::launch_each(context, "ln_adamw", step, args.n,
                    cuda::aligned_to_packs({args.parameters, args.gradients, args.first_moments, args.second_moments}));
}

}  // namespace ln::backend
