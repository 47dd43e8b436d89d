#include "adamw.hpp"
#include "simd/adamw_update.hpp"

namespace ln::cpu::LN_TIER {

namespace {

void step(float* parameters, const float* gradients, float* first_moments, float* second_moments, int64_t n,
          const AdamwScalars& scalars) {
  const AdamwScalars s = scalars;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const Element before = {load(parameters + i), load(first_moments + i), load(second_moments + i)};
    const Element after = update(before, load(gradients + i), s);
    store(parameters + i, after.p);
    store(first_moments + i, after.m);
    store(second_moments + i, after.v);
  }
  if (i < n) {
    const int64_t count = n - i;
    const Element before = {load_part(parameters + i, count), load_part(first_moments + i, count),
                            load_part(second_moments + i, count)};
    const Element after = update(before, load_part(gradients + i, count), s);
    store_part(parameters + i, after.p, count);
    store_part(first_moments + i, after.m, count);
    store_part(second_moments + i, after.v, count);
  }
}

}  // namespace

const AdamwKernels& adamw_kernels() {
  static const AdamwKernels kernels = {step};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
