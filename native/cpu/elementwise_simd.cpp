#include "elementwise.hpp"
#include "simd/simd.hpp"

namespace ln::cpu::LN_TIER {

namespace {

void axpby(float alpha, const float* x, float beta, float* y, int64_t n) {
  const vf a = broadcast(alpha), b = broadcast(beta);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, beta == 0 ? a * load(x + i) : fma(a, load(x + i), b * load(y + i)));
  for (; i < n; ++i) y[i] = beta == 0 ? alpha * x[i] : alpha * x[i] + beta * y[i];
}

// Selects rather than min and max, which would turn NaN into a limit.
LN_INLINE vf clamped(vf x, vf limit) {
  x = select(x > limit, limit, x);
  return select(x < -limit, -limit, x);
}

void clamp_fwd(float* x, int64_t n, float limit) {
  const vf bound = broadcast(limit);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(x + i, clamped(load(x + i), bound));
  if (i < n) store_part(x + i, clamped(load_part(x + i, n - i), bound), n - i);
}

LN_INLINE vf where_inside(vf y, vf dy, vf limit) { return select((y >= limit) | (y <= -limit), (vf){}, dy); }

void clamp_bwd(const float* y, float* dy, int64_t n, float limit) {
  const vf bound = broadcast(limit);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(dy + i, where_inside(load(y + i), load(dy + i), bound));
  if (i < n) store_part(dy + i, where_inside(load_part(y + i, n - i), load_part(dy + i, n - i), bound), n - i);
}

}  // namespace

const ElementwiseKernels& elementwise_kernels() {
  static const ElementwiseKernels kernels = {axpby, clamp_fwd, clamp_bwd};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
