#include <cmath>

#include "dora.hpp"
#include "reference_element.hpp"

namespace ln::cpu::reference {

namespace {

/// 0 for a row without length: all that is scaled by it is 0 too.
float factor_of(const float* magnitude, const float* norms, int64_t o) {
  return norms[o] > 0 ? magnitude[o] / norms[o] : 0.0f;
}

void norms(const AdaptedWeight& adapted, float* norms, int64_t first, int64_t last) {
  for (int64_t o = first; o < last; ++o) {
    double squares = 0;
    for (int64_t i = 0; i < adapted.in; ++i) {
      double update = 0;
      for (int64_t k = 0; k < adapted.rank; ++k) {
        update += static_cast<double>(adapted.lora_b[o * adapted.rank + k]) * adapted.lora_a[k * adapted.in + i];
      }
      const double value =
          static_cast<double>(weight_at(adapted.weight, adapted.dtype, o * adapted.in + i)) + adapted.scale * update;
      squares += value * value;
    }
    norms[o] = static_cast<float>(std::sqrt(squares));
  }
}

void forward(const ln_dora_fwd_args& args, int64_t first, int64_t last) {
  for (int64_t r = first; r < last; ++r) {
    for (int64_t o = 0; o < args.out; ++o) {
      float* const y = args.y + r * args.out + o;
      float value = factor_of(args.magnitude, args.norms, o) * args.z[r * args.out + o];
      if (args.bias != nullptr) value += weight_at(args.bias, args.bias_dtype, o);
      *y = args.accumulate != 0 ? *y + value : value;
    }
  }
}

void backward(const ln_dora_bwd_args& args, int64_t first, int64_t last) {
  for (int64_t r = first; r < last; ++r) {
    for (int64_t o = 0; o < args.out; ++o) {
      args.dz[r * args.out + o] = factor_of(args.magnitude, args.norms, o) * args.dy[r * args.out + o];
    }
  }
}

void magnitude_gradient(const ln_dora_bwd_args& args, int64_t first, int64_t last) {
  for (int64_t o = first; o < last; ++o) {
    if (!(args.norms[o] > 0)) continue;
    double total = 0;
    for (int64_t r = 0; r < args.rows; ++r) {
      total += static_cast<double>(args.dy[r * args.out + o]) * args.z[r * args.out + o];
    }
    args.grad_magnitude[o] += static_cast<float>(total / args.norms[o]);
  }
}

}  // namespace

const DoraKernels& dora_kernels() {
  static const DoraKernels kernels = {norms, forward, backward, magnitude_gradient};
  return kernels;
}

}  // namespace ln::cpu::reference
