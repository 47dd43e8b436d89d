// y = alpha x + beta y, clamping. Bound by bytes: axpby moves 12 per element (8 with beta 0), clamp_fwd 8,
// clamp_bwd 12. One 16-byte pack per thread and array keeps more in flight than the latency of the memory needs.
#include "packs.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

template <bool kReadsY>
struct Axpby {
  const float* x;
  float* y;
  float alpha, beta;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    Pack<kWidth> value = load_pack<kWidth>(x, i);
    if constexpr (kReadsY) {
      const Pack<kWidth> before = load_pack<kWidth>(y, i);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) value.at[j] = fmaf(alpha, value.at[j], beta * before.at[j]);
    } else {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) value.at[j] *= alpha;
    }
    store_pack<kWidth>(y, i, value);
  }
};

/// NaN stays NaN.
struct ClampForward {
  float* x;
  float limit;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    Pack<kWidth> value = load_pack<kWidth>(x, i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      if (value.at[j] > limit) value.at[j] = limit;
      if (value.at[j] < -limit) value.at[j] = -limit;
    }
    store_pack<kWidth>(x, i, value);
  }
};

struct ClampBackward {
  const float* y;
  float* dy;
  float limit;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    const Pack<kWidth> value = load_pack<kWidth>(y, i);
    Pack<kWidth> gradient = load_pack<kWidth>(dy, i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      if (fabsf(value.at[j]) >= limit) gradient.at[j] = 0;
    }
    store_pack<kWidth>(dy, i, gradient);
  }
};

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void axpby(ln_context& context, float alpha, const float* x, float beta, float* y, int64_t n) {
  const bool in_packs = cuda::aligned_to_packs({x, y});
  if (beta == 0) {
    cuda::launch_each(context, "ln_axpby", cuda::Axpby<false>{x, y, alpha, beta}, n, in_packs);
  } else {
    cuda::launch_each(context, "ln_axpby", cuda::Axpby<true>{x, y, alpha, beta}, n, in_packs);
  }
}

void clamp_fwd(ln_context& context, float* x, int64_t n, float limit) {
  cuda::launch_each(context, "ln_clamp_fwd", cuda::ClampForward{x, limit}, n, cuda::aligned_to_packs({x}));
}

void clamp_bwd(ln_context& context, const float* y, float* dy, int64_t n, float limit) {
  cuda::launch_each(context, "ln_clamp_bwd", cuda::ClampBackward{y, dy, limit}, n, cuda::aligned_to_packs({y, dy}));
}

}  // namespace ln::backend
