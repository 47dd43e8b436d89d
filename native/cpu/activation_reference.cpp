#include <cmath>

#include "activation.hpp"
#include "lora_native.h"

namespace ln::cpu::reference {

namespace {

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

/// An activation and its derivative at x.
struct Point {
  float value, slope;
};

Point silu(float x) {
  const float s = sigmoid(x);
  return {x * s, s + x * s * sigmoid(-x)};
}

/// GELU with tanh(u), written with the sigmoid: (1 + tanh(u)) / 2 = sigmoid(2 u).
Point gelu_tanh(float x) {
  const float factor = 1.59576912f;  // 2 sqrt(2 / pi)
  const float u2 = factor * (x + 0.044715f * x * x * x);
  const float slope = factor * (1 + 3 * 0.044715f * x * x);
  return {x * sigmoid(u2), sigmoid(u2) + x * sigmoid(u2) * sigmoid(-u2) * slope};
}

Point gelu_erf(float x) {
  const float probability = 0.5f * std::erfc(x * -0.707106781f);
  return {x * probability, probability + x * 0.398942280f * std::exp(-0.5f * x * x)};
}

Point activate(int32_t activation, float x) {
  return activation == LN_SILU ? silu(x) : activation == LN_GELU_TANH ? gelu_tanh(x) : gelu_erf(x);
}

void gated_fwd(int32_t activation, const float* gate, const float* up, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = activate(activation, gate[i]).value * up[i];
}

void gated_bwd(int32_t activation, const float* dy, const float* gate, const float* up, float* dgate, float* dup,
               int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const Point a = activate(activation, gate[i]);
    const float d = dy[i];
    dgate[i] = d * up[i] * a.slope;
    dup[i] = d * a.value;
  }
}

float scored_bwd(int32_t activation, float score, const float* dy, float* gate, float* up, float* inner, int64_t n) {
  double dot = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Point a = activate(activation, gate[i]);
    const float d = dy[i], u = up[i], y = a.value * u;
    dot += static_cast<double>(d) * y;
    gate[i] = score * d * u * a.slope;
    up[i] = score * d * a.value;
    if (inner != nullptr) inner[i] = score * y;
  }
  return static_cast<float>(dot);
}

void sigmoid_gate_fwd(const float* x, const float* gate, float* y, int64_t rows, int64_t width, bool accumulate) {
  for (int64_t r = 0; r < rows; ++r) {
    const float s = sigmoid(gate[r]);
    for (int64_t i = r * width; i < (r + 1) * width; ++i) y[i] = accumulate ? y[i] + s * x[i] : s * x[i];
  }
}

void sigmoid_gate_bwd(const float* dy, const float* x, const float* gate, float* dx, float* dgate, int64_t rows,
                      int64_t width) {
  for (int64_t r = 0; r < rows; ++r) {
    const float s = sigmoid(gate[r]);
    double dot = 0;
    for (int64_t i = r * width; i < (r + 1) * width; ++i) {
      dot += static_cast<double>(dy[i]) * x[i];
      dx[i] = dy[i] * s;
    }
    dgate[r] = s * sigmoid(-gate[r]) * static_cast<float>(dot);
  }
}

}  // namespace

const ActivationKernels& activation_kernels() {
  static const ActivationKernels kernels = {gated_fwd, gated_bwd, scored_bwd, sigmoid_gate_fwd, sigmoid_gate_bwd};
  return kernels;
}

}  // namespace ln::cpu::reference
