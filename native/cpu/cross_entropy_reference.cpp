#include <cmath>
#include <limits>

#include "cross_entropy.hpp"

namespace ln::cpu::reference {

namespace {

float row(float* logits, int64_t vocabulary, int64_t label, float gradient_scale, bool want_gradient) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < vocabulary; ++i) {
    if (logits[i] > largest) largest = logits[i];
  }
  double total = 0;
  for (int64_t i = 0; i < vocabulary; ++i) total += static_cast<double>(std::exp(logits[i] - largest));
  const double loss = std::log(total) + (static_cast<double>(largest) - static_cast<double>(logits[label]));
  for (int64_t i = 0; want_gradient && i < vocabulary; ++i) {
    const double probability = static_cast<double>(std::exp(logits[i] - largest)) / total;
    logits[i] = static_cast<float>(static_cast<double>(gradient_scale) * (probability - (i == label ? 1 : 0)));
  }
  return static_cast<float>(loss);
}

}  // namespace

const CrossEntropyKernels& cross_entropy_kernels() {
  static const CrossEntropyKernels kernels = {row};
  return kernels;
}

}  // namespace ln::cpu::reference
