#include "rope.hpp"
#include "simd/rows.hpp"

namespace ln::cpu::LN_TIER {

namespace {

void rotate(const ln_rope_args& args, int64_t first, int64_t last) {
  const int64_t half = args.rotary_dim / 2;
  const vf sign = broadcast(args.transpose != 0 ? -1.0f : 1.0f);
  for (int64_t t = first; t < last; ++t) {
    const float* cosine = args.cosine + args.positions[t] * half;
    const float* sine = args.sine + args.positions[t] * half;
    for (int64_t h = 0; h < args.heads; ++h) {
      float* x = args.x + (t * args.heads + h) * args.head_dim;
      for (int64_t i = 0; i < half; i += kWidth) {
        const int64_t count = half - i;
        const vf c = load_some(cosine + i, count), s = sign * load_some(sine + i, count);
        const vf a = load_some(x + i, count), b = load_some(x + half + i, count);
        store_some(x + i, a * c - b * s, count);
        store_some(x + half + i, b * c + a * s, count);
      }
    }
  }
}

}  // namespace

const RopeKernels& rope_kernels() {
  static const RopeKernels kernels = {rotate};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
