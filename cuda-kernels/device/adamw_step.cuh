// One element of AdamW, whatever its moments are stored in.
#pragma once

#include <cmath>

#include "../simt/simt.hpp"

namespace ln::cuda {

/// What is the same for all elements: computed on the host in float64, then rounded, as torch does; but for the scale,
/// which the device knows.
struct AdamwScalars {
  const float* gradient_scale;  // NULL: 1
  float decay;                  // 1 - learning_rate * weight_decay
  float beta1_complement;       // 1 - beta1
  float beta2;
  float beta2_complement;  // 1 - beta2
  float step_size;         // learning_rate / (1 - beta1^step)
  float correction2_root;  // sqrt(1 - beta2^step)
  float epsilon;
};

/// Of ln_adamw_args or ln_adamw_8bit_args.
template <typename Args>
AdamwScalars adamw_scalars(const Args& args) {
  const double steps = static_cast<double>(args.step);
  const double correction1 = 1 - std::pow(args.beta1, steps);
  const double correction2 = 1 - std::pow(args.beta2, steps);
  return {args.gradient_scale,
          static_cast<float>(1 - args.learning_rate * args.weight_decay),
          static_cast<float>(1 - args.beta1),
          static_cast<float>(args.beta2),
          static_cast<float>(1 - args.beta2),
          static_cast<float>(args.learning_rate / correction1),
          static_cast<float>(std::sqrt(correction2)),
          static_cast<float>(args.epsilon)};
}

/// False: the step is not to be taken.
__device__ __forceinline__ bool adamw_scale(const AdamwScalars& s, float& scale) {
  scale = s.gradient_scale == nullptr ? 1.0f : *s.gradient_scale;
  return fabsf(scale) < INFINITY;
}

/// Updates parameter and moments; g is scaled.
__device__ __forceinline__ void adamw_step(float& p, float& m, float& v, float g, const AdamwScalars& s) {
  // From the nearer end, so that without memory (beta1 = 0) m is g exactly.
  const float difference = g - m;
  m = s.beta1_complement < 0.5f ? m + s.beta1_complement * difference : g - difference * (1 - s.beta1_complement);
  v = v * s.beta2 + s.beta2_complement * g * g;
  p = p * s.decay - s.step_size * m / (__fsqrt_rn(v) / s.correction2_root + s.epsilon);
}

}  // namespace ln::cuda
