#include "activation.hpp"
#include "simd/math.hpp"
#include "simd/rows.hpp"

namespace ln::cpu::LN_TIER {

namespace {

/// An activation and its derivative at x; a caller that uses only the value pays only for it.
struct Point {
  vf value, slope;
};

template <int Activation>
LN_INLINE Point activate(vf x) {
  if constexpr (Activation == LN_SILU) {
    const Sigmoid s = sigmoid(x);
    return {x * s.value, s.value * fma(x, s.complement, broadcast(1.0f))};
  } else if constexpr (Activation == LN_GELU_TANH) {
    // (1 + tanh(u)) / 2 = sigmoid(2 u); beyond 32 the derivative is 0 or 1, and the square could overflow.
    const float factor = 1.59576912f;  // 2 sqrt(2 / pi)
    const Sigmoid s = sigmoid(factor * fma(0.044715f * x * x, x, x));
    const vf inside = max(min(x, broadcast(32.0f)), broadcast(-32.0f));
    const vf du = factor * fma(inside * inside, broadcast(3 * 0.044715f), broadcast(1.0f));
    return {x * s.value, fma(inside * s.value, s.complement * du, s.value)};
  } else {
    const Normal p = normal(x);
    return {x * p.probability, fma(x, p.density, p.probability)};
  }
}

template <int Activation>
void gated_fwd_of(const float* gate, const float* up, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, activate<Activation>(load(gate + i)).value * load(up + i));
  if (i < n)
    store_part(y + i, activate<Activation>(load_part(gate + i, n - i)).value * load_part(up + i, n - i), n - i);
}

template <int Activation>
void gated_bwd_of(const float* dy, const float* gate, const float* up, float* dgate, float* dup, int64_t n) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const vf d = load_some(dy + i, n - i), u = load_some(up + i, n - i);
    const Point a = activate<Activation>(load_some(gate + i, n - i));
    store_some(dgate + i, d * u * a.slope, n - i);
    store_some(dup + i, d * a.value, n - i);
  }
}

template <int Activation>
float scored_bwd_of(float score, const float* dy, float* gate, float* up, float* inner, int64_t n) {
  const vf s = broadcast(score);
  vf dot = {};
  for (int64_t i = 0; i < n; i += kWidth) {
    const vf d = load_some(dy + i, n - i), u = load_some(up + i, n - i);
    const Point a = activate<Activation>(load_some(gate + i, n - i));
    const vf scored = s * d, y = a.value * u;
    dot = fma(d, y, dot);
    store_some(gate + i, scored * u * a.slope, n - i);
    store_some(up + i, scored * a.value, n - i);
    if (inner != nullptr) store_some(inner + i, s * y, n - i);
  }
  return sum(dot);
}

void gated_fwd(int32_t activation, const float* gate, const float* up, float* y, int64_t n) {
  if (activation == LN_SILU) return gated_fwd_of<LN_SILU>(gate, up, y, n);
  if (activation == LN_GELU_TANH) return gated_fwd_of<LN_GELU_TANH>(gate, up, y, n);
  gated_fwd_of<LN_GELU_ERF>(gate, up, y, n);
}

void gated_bwd(int32_t activation, const float* dy, const float* gate, const float* up, float* dgate, float* dup,
               int64_t n) {
  if (activation == LN_SILU) return gated_bwd_of<LN_SILU>(dy, gate, up, dgate, dup, n);
  if (activation == LN_GELU_TANH) return gated_bwd_of<LN_GELU_TANH>(dy, gate, up, dgate, dup, n);
  gated_bwd_of<LN_GELU_ERF>(dy, gate, up, dgate, dup, n);
}

float scored_bwd(int32_t activation, float score, const float* dy, float* gate, float* up, float* inner, int64_t n) {
  if (activation == LN_SILU) return scored_bwd_of<LN_SILU>(score, dy, gate, up, inner, n);
  if (activation == LN_GELU_TANH) return scored_bwd_of<LN_GELU_TANH>(score, dy, gate, up, inner, n);
  return scored_bwd_of<LN_GELU_ERF>(score, dy, gate, up, inner, n);
}

void sigmoid_gate_fwd(const float* x, const float* gate, float* y, int64_t rows, int64_t width, bool accumulate) {
  for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
    const vf s = sigmoid(broadcast(gate[r])).value;
    for (int64_t i = 0; i < width; i += kWidth) {
      const vf scaled = s * load_some(x + i, width - i);
      store_some(y + i, accumulate ? load_some(y + i, width - i) + scaled : scaled, width - i);
    }
  }
}

void sigmoid_gate_bwd(const float* dy, const float* x, const float* gate, float* dx, float* dgate, int64_t rows,
                      int64_t width) {
  for (int64_t r = 0; r < rows; ++r, dy += width, x += width, dx += width) {
    const Sigmoid s = sigmoid(broadcast(gate[r]));
    vf dot[2] = {};
    int64_t i = 0;
    for (; i + 2 * kWidth <= width; i += 2 * kWidth) {
      for (int v = 0; v < 2; ++v) {
        const vf d = load(dy + i + v * kWidth);
        dot[v] = fma(d, load(x + i + v * kWidth), dot[v]);
        store(dx + i + v * kWidth, d * s.value);
      }
    }
    for (; i < width; i += kWidth) {
      const vf d = load_some(dy + i, width - i);
      dot[0] = fma(d, load_some(x + i, width - i), dot[0]);
      store_some(dx + i, d * s.value, width - i);
    }
    dgate[r] = s.value[0] * s.complement[0] * sum(dot[0] + dot[1]);
  }
}

}  // namespace

const ActivationKernels& activation_kernels() {
  static const ActivationKernels kernels = {gated_fwd, gated_bwd, scored_bwd, sigmoid_gate_fwd, sigmoid_gate_bwd};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
