#include "norm.hpp"
#include "simd/rows.hpp"

namespace ln::cpu::LN_TIER {

namespace {

// Sums run in so many registers at a time: it hides the latency of addition, and shorter sums are more exact.
constexpr int kSums = 4;

LN_INLINE float total_of(const vf (&sums)[kSums]) { return sum((sums[0] + sums[1]) + (sums[2] + sums[3])); }

/// x + residual, and a sum that is kept
LN_INLINE vf summed(const float* x, const float* residual, float* kept, int64_t i, int64_t count) {
  vf z = load_some(x + i, count);
  if (residual != nullptr) z += load_some(residual + i, count);
  if (kept != nullptr) store_some(kept + i, z, count);
  return z;
}

template <int Dtype>
void forward_of(const ln_rmsnorm_fwd_args& args, int64_t first, int64_t last) {
  const int64_t width = args.width;
  for (int64_t r = first; r < last; ++r) {
    const float* x = args.x + r * width;
    const float* residual = args.residual == nullptr ? nullptr : args.residual + r * width;
    float* kept = args.sum == nullptr ? nullptr : args.sum + r * width;
    vf squares[kSums] = {};
    int64_t i = 0;
    for (; i + kSums * kWidth <= width; i += kSums * kWidth) {
#pragma GCC unroll 4
      for (int v = 0; v < kSums; ++v) {
        const vf z = summed(x, residual, kept, i + v * kWidth, kWidth);
        squares[v] = fma(z, z, squares[v]);
      }
    }
    for (; i < width; i += kWidth) {
      const vf z = summed(x, residual, kept, i, width - i);
      squares[0] = fma(z, z, squares[0]);
    }
    const double mean = (double)total_of(squares) / (double)width;
    const float rstd = (float)(1 / __builtin_sqrt(mean + (double)args.epsilon));
    if (args.rstd != nullptr) args.rstd[r] = rstd;

    // Once the sum is stored it is what both passes are about; it may lie in x or residual.
    if (kept != nullptr) {
      x = kept;
      residual = nullptr;
    }
    float* y = args.y + r * width;
    for (i = 0; i < width; i += kWidth) {
      const vf z = summed(x, residual, nullptr, i, width - i);
      store_some(y + i, z * rstd * load_some_as<Dtype>(args.weight, i, width - i), width - i);
    }
  }
}

template <int Dtype>
void backward_of(const ln_rmsnorm_bwd_args& args, int64_t first, int64_t last) {
  const int64_t width = args.width;
  for (int64_t r = first; r < last; ++r) {
    const float* dy = args.dy + r * width;
    const float* z = args.z + r * width;
    const float* dresidual = args.dresidual == nullptr ? nullptr : args.dresidual + r * width;
    float* dx = args.dx + r * width;
    vf dots[kSums] = {};
    int64_t i = 0;
    for (; i + kSums * kWidth <= width; i += kSums * kWidth) {
#pragma GCC unroll 4
      for (int v = 0; v < kSums; ++v) {
        const int64_t at = i + v * kWidth;
        dots[v] = fma(load(dy + at) * load_as<Dtype>(args.weight, at), load(z + at), dots[v]);
      }
    }
    for (; i < width; i += kWidth) {
      const vf g = load_some(dy + i, width - i) * load_some_as<Dtype>(args.weight, i, width - i);
      dots[0] = fma(g, load_some(z + i, width - i), dots[0]);
    }
    const vf rstd = broadcast(args.rstd[r]);
    const vf mean = rstd * (total_of(dots) / (float)width);
    for (i = 0; i < width; i += kWidth) {
      const vf g = load_some(dy + i, width - i) * load_some_as<Dtype>(args.weight, i, width - i);
      vf d = rstd * (g - load_some(z + i, width - i) * rstd * mean);
      if (dresidual != nullptr) d += load_some(dresidual + i, width - i);
      store_some(dx + i, d, width - i);
    }
  }
}

void forward(const ln_rmsnorm_fwd_args& args, int64_t first, int64_t last) {
  if (args.weight_dtype == LN_BF16) return forward_of<LN_BF16>(args, first, last);
  if (args.weight_dtype == LN_F16) return forward_of<LN_F16>(args, first, last);
  forward_of<LN_F32>(args, first, last);
}

void backward(const ln_rmsnorm_bwd_args& args, int64_t first, int64_t last) {
  if (args.weight_dtype == LN_BF16) return backward_of<LN_BF16>(args, first, last);
  if (args.weight_dtype == LN_F16) return backward_of<LN_F16>(args, first, last);
  backward_of<LN_F32>(args, first, last);
}

// Rows are added in blocks, then the blocks: thousands of rows lose no digits.
constexpr int64_t kRowsPerBlock = 64;

void weight_gradient(const ln_rmsnorm_bwd_args& args, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; i += kWidth) {
    const int64_t count = last - i;
    vf total = {};
    for (int64_t r = 0; r < args.rows;) {
      const int64_t end = r + kRowsPerBlock < args.rows ? r + kRowsPerBlock : args.rows;
      vf block = {};
      for (; r < end; ++r) {
        const int64_t at = r * args.width + i;
        block = fma(load_some(args.dy + at, count), load_some(args.z + at, count) * args.rstd[r], block);
      }
      total += block;
    }
    store_some(args.grad_weight + i, load_some(args.grad_weight + i, count) + total, count);
  }
}

}  // namespace

const NormKernels& norm_kernels() {
  static const NormKernels kernels = {forward, backward, weight_gradient};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
