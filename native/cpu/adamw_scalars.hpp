// What is the same for all elements of an AdamW step, from its hyper-parameters.
#pragma once

#include <cmath>

#include "adamw.hpp"

namespace ln::cpu {

/// Of ln_adamw_args or ln_adamw_8bit_args.
template <typename Args>
AdamwScalars adamw_scalars(const Args& args) {
  const double steps = static_cast<double>(args.step);
  const double correction1 = 1 - std::pow(args.beta1, steps);
  const double correction2 = 1 - std::pow(args.beta2, steps);
  return {
      .gradient_scale = args.gradient_scale == nullptr ? 1.0f : *args.gradient_scale,
      .decay = static_cast<float>(1 - args.learning_rate * args.weight_decay),
      .beta1_complement = static_cast<float>(1 - args.beta1),
      .beta2 = static_cast<float>(args.beta2),
      .beta2_complement = static_cast<float>(1 - args.beta2),
      .step_size = static_cast<float>(args.learning_rate / correction1),
      .correction2_root = static_cast<float>(std::sqrt(correction2)),
      .epsilon = static_cast<float>(args.epsilon),
  };
}

}  // namespace ln::cpu
