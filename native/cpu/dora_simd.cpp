#include "dora.hpp"
#include "simd/quantized.hpp"
#include "simd/rows.hpp"

namespace ln::cpu::LN_TIER {

namespace {

// ---- lengths of rows: W is read once, and B . A exists for kRows x kVectors registers at a time ---------------------

constexpr int kRows = 4, kVectors = 2;
// Elements of a row that are widened at a time; sums of squares run in float32 over so many, in float64 over the row.
constexpr int64_t kChunk = 256;

template <int Dtype>
void widen(const void* weight, int64_t first, int64_t count, float* chunk) {
  for (int64_t i = 0; i < count; i += kWidth)
    store_some(chunk + i, load_some_as<Dtype>(weight, first + i, count - i), count - i);
}

/// Elements [first, first + count) of a weight as floats: where they lie, or in `chunk`.
const float* elements(const AdaptedWeight& adapted, int64_t first, int64_t count, float* chunk) {
  switch (adapted.dtype) {
    case LN_BF16:
      widen<LN_BF16>(adapted.weight, first, count, chunk);
      return chunk;
    case LN_F16:
      widen<LN_F16>(adapted.weight, first, count, chunk);
      return chunk;
    case LN_NF4:
      dequantize_to<LN_NF4, LN_F32>(*(const ln_quantized*)adapted.weight, first, count, chunk);
      return chunk;
    case LN_FP4:
      dequantize_to<LN_FP4, LN_F32>(*(const ln_quantized*)adapted.weight, first, count, chunk);
      return chunk;
    default:
      return (const float*)adapted.weight + first;
  }
}

/// Adds the squares of columns [at, at + count) of R rows from `row` on; weights[i] are those columns of row i.
template <int R, int V>
LN_INLINE void add_squares(const AdaptedWeight& adapted, int64_t row, int64_t at, int64_t count,
                           const float* const* weights, int64_t offset, vf* squares) {
  const int64_t in = adapted.in, rank = adapted.rank;
  vf update[R][V] = {};
  const float* b = adapted.lora_b + row * rank;
  for (int64_t k = 0; k < rank; ++k) {
    vf a[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const float* const p = adapted.lora_a + k * in + at + v * kWidth;
      a[v] = V > 1 ? load(p) : load_some(p, count);
    }
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      const vf factor = broadcast(b[i * rank + k]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) update[i][v] = fma(factor, a[v], update[i][v]);
    }
  }
  const vf scale = broadcast(adapted.scale);
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const float* const p = weights[i] + offset + v * kWidth;
      const vf value = fma(scale, update[i][v], V > 1 ? load(p) : load_some(p, count));
      squares[i] = fma(value, value, squares[i]);
    }
  }
}

template <int R>
void norms_of(const AdaptedWeight& adapted, int64_t row, float* norms) {
  double total[R] = {};
  float chunks[R][kChunk];
  for (int64_t first = 0; first < adapted.in; first += kChunk) {
    const int64_t count = adapted.in - first < kChunk ? adapted.in - first : kChunk;
    const float* weights[R];
    for (int i = 0; i < R; ++i) weights[i] = elements(adapted, (row + i) * adapted.in + first, count, chunks[i]);
    vf squares[R] = {};
    int64_t j = 0;
    for (; j + kVectors * kWidth <= count; j += kVectors * kWidth) {
      add_squares<R, kVectors>(adapted, row, first + j, kWidth, weights, j, squares);
    }
    for (; j < count; j += kWidth) add_squares<R, 1>(adapted, row, first + j, count - j, weights, j, squares);
    for (int i = 0; i < R; ++i) total[i] += (double)sum(squares[i]);
  }
  for (int i = 0; i < R; ++i) norms[row + i] = (float)__builtin_sqrt(total[i]);
}

void norms(const AdaptedWeight& adapted, float* norms, int64_t first, int64_t last) {
  int64_t row = first;
  for (; row + kRows <= last; row += kRows) norms_of<kRows>(adapted, row, norms);
  for (; row < last; ++row) norms_of<1>(adapted, row, norms);
}

// ---- scaling of columns ---------------------------------------------------------------------------------------------

/// 0 for a row without length: all that is scaled by it is 0 too.
LN_INLINE vf factor_at(const float* magnitude, const float* norms, int64_t i, int64_t count) {
  const vf norm = load_some(norms + i, count);
  return select(norm > 0.0f, load_some(magnitude + i, count) / norm, (vf){});
}

template <int Dtype>
void forward_of(const ln_dora_fwd_args& args, int64_t first, int64_t last) {
  const int64_t out = args.out;
  for (int64_t i = 0; i < out; i += kWidth) {
    const int64_t count = out - i;
    const vf factor = factor_at(args.magnitude, args.norms, i, count);
    const vf bias = args.bias == nullptr ? (vf){} : load_some_as<Dtype>(args.bias, i, count);
    for (int64_t r = first; r < last; ++r) {
      float* const y = args.y + r * out + i;
      vf value = fma(factor, load_some(args.z + r * out + i, count), bias);
      if (args.accumulate) value += load_some(y, count);
      store_some(y, value, count);
    }
  }
}

void forward(const ln_dora_fwd_args& args, int64_t first, int64_t last) {
  if (args.bias != nullptr && args.bias_dtype == LN_BF16) return forward_of<LN_BF16>(args, first, last);
  if (args.bias != nullptr && args.bias_dtype == LN_F16) return forward_of<LN_F16>(args, first, last);
  forward_of<LN_F32>(args, first, last);
}

void backward(const ln_dora_bwd_args& args, int64_t first, int64_t last) {
  const int64_t out = args.out;
  for (int64_t i = 0; i < out; i += kWidth) {
    const vf factor = factor_at(args.magnitude, args.norms, i, out - i);
    for (int64_t r = first; r < last; ++r) {
      store_some(args.dz + r * out + i, factor * load_some(args.dy + r * out + i, out - i), out - i);
    }
  }
}

// ---- sums over rows -------------------------------------------------------------------------------------------------

// Rows are added in blocks, then the blocks: thousands of rows lose no digits.
constexpr int64_t kRowsPerBlock = 64;

void magnitude_gradient(const ln_dora_bwd_args& args, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; i += kWidth) {
    const int64_t count = last - i;
    vf total = {};
    for (int64_t r = 0; r < args.rows;) {
      const int64_t end = r + kRowsPerBlock < args.rows ? r + kRowsPerBlock : args.rows;
      vf block = {};
      for (; r < end; ++r) {
        const int64_t at = r * args.out + i;
        block = fma(load_some(args.dy + at, count), load_some(args.z + at, count), block);
      }
      total += block;
    }
    const vf norm = load_some(args.norms + i, count);
    float* const gradient = args.grad_magnitude + i;
    store_some(gradient, load_some(gradient, count) + select(norm > 0.0f, total / norm, (vf){}), count);
  }
}

}  // namespace

const DoraKernels& dora_kernels() {
  static const DoraKernels kernels = {norms, forward, backward, magnitude_gradient};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
