#include <algorithm>
#include <cmath>

#include "../abi/dynamic_codes.hpp"
#include "adamw_8bit.hpp"

namespace ln::cpu::reference {

namespace {

constexpr float kSmallestScale = 1e-38f;

float signed_value(int code) {
  return code >= kSignedZero ? kSignedCodes.value[code - kSignedZero] : -kSignedCodes.value[kSignedZero - code];
}

/// The number of the magnitude nearest to r, from 0 to 1; of two as near the one whose code is even, codes being
/// `first` + the number.
template <int kCount>
int nearest(const DynamicCodes<kCount>& codes, int first, float r) {
  int k = 0;
  while (k + 1 < kCount && (r > codes.middle[k] || (r == codes.middle[k] && (first + k) % 2 != 0))) ++k;
  return k;
}

int signed_code(float r) {
  const int k = nearest(kSignedCodes, kSignedZero, std::fabs(r));
  return r < 0 ? kSignedZero - std::clamp(k, 1, kSignedZero) : kSignedZero + k;
}

void step(const ln_adamw_8bit_args& args, int64_t first, int64_t last, const AdamwScalars& scalars) {
  for (int64_t b = first; b < last; ++b) {
    const int64_t start = b * kMomentBlock, count = std::min(kMomentBlock, args.n - start);
    float m[kMomentBlock], v[kMomentBlock], largest_m = 0, largest_v = 0;
    for (int64_t i = 0; i < count; ++i) {
      m[i] = signed_value(args.first_moments[start + i]) * args.first_absmax[b];
      v[i] = kUnsignedCodes.value[args.second_moments[start + i]] * args.second_absmax[b];
    }
    adamw_kernels().step(args.parameters + start, args.gradients + start, m, v, count, scalars);
    for (int64_t i = 0; i < count; ++i) {
      largest_m = std::max(largest_m, std::fabs(m[i]));
      largest_v = std::max(largest_v, v[i]);
    }
    args.first_absmax[b] = largest_m;
    args.second_absmax[b] = largest_v;
    const float scale_m = 1 / std::max(largest_m, kSmallestScale), scale_v = 1 / std::max(largest_v, kSmallestScale);
    for (int64_t i = 0; i < count; ++i) {
      args.first_moments[start + i] = static_cast<uint8_t>(signed_code(m[i] * scale_m));
      args.second_moments[start + i] = static_cast<uint8_t>(nearest(kUnsignedCodes, 0, v[i] * scale_v));
    }
  }
}

}  // namespace

const Adamw8bitKernels& adamw_8bit_kernels() {
  static const Adamw8bitKernels kernels = {step};
  return kernels;
}

}  // namespace ln::cpu::reference
