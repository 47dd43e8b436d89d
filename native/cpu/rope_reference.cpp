#include "rope.hpp"

namespace ln::cpu::reference {

namespace {

void rotate(const ln_rope_args& args, int64_t first, int64_t last) {
  const int64_t half = args.rotary_dim / 2;
  for (int64_t t = first; t < last; ++t) {
    for (int64_t h = 0; h < args.heads; ++h) {
      float* x = args.x + (t * args.heads + h) * args.head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const float c = args.cosine[args.positions[t] * half + i];
        const float s =
            args.transpose != 0 ? -args.sine[args.positions[t] * half + i] : args.sine[args.positions[t] * half + i];
        const float a = x[i], b = x[i + half];
        x[i] = a * c - b * s;
        x[i + half] = b * c + a * s;
      }
    }
  }
}

}  // namespace

const RopeKernels& rope_kernels() {
  static const RopeKernels kernels = {rotate};
  return kernels;
}

}  // namespace ln::cpu::reference
