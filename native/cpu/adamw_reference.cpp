#include <cmath>

#include "adamw.hpp"

namespace ln::cpu::reference {

namespace {

// From `from` towards `to`, computed from the nearer end, so that weight 0 gives `from` and weight 1 gives `to`
// exactly.
float interpolate(float from, float to, float weight) {
  return weight < 0.5f ? from + weight * (to - from) : to - (to - from) * (1 - weight);
}

void step(float* parameters, const float* gradients, float* first_moments, float* second_moments, int64_t n,
          const AdamwScalars& s) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradients[i] * s.gradient_scale;
    const float m = first_moments[i] = interpolate(first_moments[i], g, s.beta1_complement);
    const float v = second_moments[i] = second_moments[i] * s.beta2 + s.beta2_complement * g * g;
    const float denominator = std::sqrt(v) / s.correction2_root + s.epsilon;
    parameters[i] = parameters[i] * s.decay - s.step_size * m / denominator;
  }
}

}  // namespace

const AdamwKernels& adamw_kernels() {
  static const AdamwKernels kernels = {step};
  return kernels;
}

}  // namespace ln::cpu::reference
