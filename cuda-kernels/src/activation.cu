// Gated activations and the sigmoid gate of a shared expert. Bound by bytes: 12 per element forward, 20 backward for
// the gated ones; 8 (12 with accumulate) and 12 for the sigmoid gate, whose rows belong to a warp or a block.
#include "activation.cuh"
#include "packs.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

template <int kActivation>
struct GatedForward {
  const float* gate;
  const float* up;
  float* y;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    const Pack<kWidth> g = load_pack<kWidth>(gate, i);
    Pack<kWidth> value = load_pack<kWidth>(up, i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) value.at[j] *= activate<kActivation>(g.at[j]).value;
    store_pack<kWidth>(y, i, value);
  }
};

template <int kActivation>
struct GatedBackward {
  const float* dy;
  const float* gate;
  const float* up;
  float* dgate;
  float* dup;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    const Pack<kWidth> d = load_pack<kWidth>(dy, i), g = load_pack<kWidth>(gate, i), u = load_pack<kWidth>(up, i);
    Pack<kWidth> gate_gradient, up_gradient;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const Point a = activate<kActivation>(g.at[j]);
      gate_gradient.at[j] = d.at[j] * u.at[j] * a.slope;
      up_gradient.at[j] = d.at[j] * a.value;
    }
    store_pack<kWidth>(dgate, i, gate_gradient);
    store_pack<kWidth>(dup, i, up_gradient);
  }
};

template <template <int> class Operation, typename... Arrays>
void launch_gated(const ln_context& context, const char* name, int32_t activation, int64_t n, Arrays... arrays) {
  const bool in_packs = aligned_to_packs({arrays...});
  switch (activation) {
    case LN_SILU:
      return launch_each(context, name, Operation<LN_SILU>{arrays...}, n, in_packs);
    case LN_GELU_TANH:
      return launch_each(context, name, Operation<LN_GELU_TANH>{arrays...}, n, in_packs);
    default:
      return launch_each(context, name, Operation<LN_GELU_ERF>{arrays...}, n, in_packs);
  }
}

template <bool kAccumulate>
struct SigmoidGateForward {
  const float* x;
  const float* gate;
  float* y;
  int64_t width;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t r, int lane) const {
    const float s = Sigmoid(gate[r]).value;
    for (int64_t c = lane * kWidth; c < width; c += RowWalk<kRowOfBlock>::kLanes * kWidth) {
      Pack<kWidth> value = load_pack<kWidth>(x, r * width + c);
      if constexpr (kAccumulate) {
        const Pack<kWidth> before = load_pack<kWidth>(y, r * width + c);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) value.at[j] = fmaf(s, value.at[j], before.at[j]);
      } else {
#pragma unroll
        for (int j = 0; j < kWidth; ++j) value.at[j] *= s;
      }
      store_pack<kWidth>(y, r * width + c, value);
    }
  }
};

struct SigmoidGateBackward {
  const float* dy;
  const float* x;
  const float* gate;
  float* dx;
  float* dgate;
  int64_t width;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t r, int lane) const {
    __shared__ float partial[kRowWarps];
    const Sigmoid s(gate[r]);
    float dot = 0;
    for (int64_t c = lane * kWidth; c < width; c += RowWalk<kRowOfBlock>::kLanes * kWidth) {
      Pack<kWidth> d = load_pack<kWidth>(dy, r * width + c);
      const Pack<kWidth> value = load_pack<kWidth>(x, r * width + c);  // before dx, which may be x
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        dot = fmaf(d.at[j], value.at[j], dot);
        d.at[j] *= s.value;
      }
      store_pack<kWidth>(dx, r * width + c, d);
    }
    dot = row_sum<kRowOfBlock>(dot, partial);
    if (lane == 0) dgate[r] = s.value * s.complement * dot;
  }
};

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void gated_activation_fwd(ln_context& context, int32_t activation, const float* gate, const float* up, float* y,
                          int64_t n) {
  cuda::launch_gated<cuda::GatedForward>(context, "ln_gated_activation_fwd", activation, n, gate, up, y);
}

void gated_activation_bwd(ln_context& context, int32_t activation, const float* dy, const float* gate, const float* up,
                          float* dgate, float* dup, int64_t n) {
  cuda::launch_gated<cuda::GatedBackward>(context, "ln_gated_activation_bwd", activation, n, dy, gate, up, dgate, dup);
}

void sigmoid_gate_fwd(ln_context& context, const float* x, const float* gate, float* y, int64_t rows, int64_t width,
                      bool accumulate) {
  using namespace cuda;
  const bool in_packs = rows_aligned_to_packs(width, {x, y});
  if (accumulate) {
    launch_each_row(context, "ln_sigmoid_gate_fwd", SigmoidGateForward<true>{x, gate, y, width}, rows, width, in_packs);
  } else {
    launch_each_row(context, "ln_sigmoid_gate_fwd", SigmoidGateForward<false>{x, gate, y, width}, rows, width,
                    in_packs);
  }
}

void sigmoid_gate_bwd(ln_context& context, const float* dy, const float* x, const float* gate, float* dx, float* dgate,
                      int64_t rows, int64_t width) {
  using namespace cuda;
  launch_each_row(context, "ln_sigmoid_gate_bwd", SigmoidGateBackward{dy, x, gate, dx, dgate, width}, rows, width,
                  rows_aligned_to_packs(width, {dy, x, dx}));
}

}  // namespace ln::backend
