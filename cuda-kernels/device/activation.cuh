// Sigmoid and the activations of gated MLPs, with their derivatives.
#pragma once

#include "../simt/simt.hpp"
#include "lora_native.h"

namespace ln::cuda {

/// sigmoid(x) and sigmoid(-x) from one exponential that cannot overflow.
struct Sigmoid {
  float value, complement;

  __device__ __forceinline__ explicit Sigmoid(float x) {
    const float e = expf(-fabsf(x));
    // The divisor is from 1 to 2, where the fast division is within one unit of the last place.
    const float near = __fdividef(1.0f, 1 + e), far = e * near;
    value = x >= 0 ? near : far;  // NaN is in both
    complement = x >= 0 ? far : near;
  }
};

/// An activation and its derivative at x.
struct Point {
  float value, slope;
};

template <int kActivation>
__device__ __forceinline__ Point activate(float x) {
  if constexpr (kActivation == LN_SILU) {
    const Sigmoid s(x);
    return {x * s.value, s.value + x * s.value * s.complement};
  } else if constexpr (kActivation == LN_GELU_TANH) {
    // (1 + tanh(u)) / 2 = sigmoid(2 u)
    constexpr float kFactor = 1.59576912f;  // 2 sqrt(2 / pi)
    const Sigmoid s(kFactor * (x + 0.044715f * x * x * x));
    const float slope = kFactor * (1 + 3 * 0.044715f * x * x);
    return {x * s.value, s.value + x * s.value * s.complement * slope};
  } else {
    const float probability = 0.5f * erfcf(x * -0.707106781f);
    return {x * probability, probability + x * 0.398942280f * expf(-0.5f * x * x)};
  }
}

}  // namespace ln::cuda
