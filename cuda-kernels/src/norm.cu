// RMSNorm. Forward and dx: one warp per row for narrow rows (the norm of a head), one block per row for wide ones. Rows
// of a multiple of four floats, aligned and of at most 8192, stay in registers in packs of 16 bytes, so that each byte
// is moved once; others are read twice, the second time from the cache. Bound by bytes: forward 8 per float (16 with
// residual and sum), backward 12 (16 with dresidual). The gradient of the weight is a sum of columns (column_sums.hpp),
// because rows must not meet in an atomic.
#include "column_sums.hpp"
#include "packs.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

/// A row in registers: pack p of a thread starts at column (lane + p * lanes) * 4.
template <bool kRowOfBlock, int kPacks>
__global__ void __launch_bounds__(kRowThreads) forward_kept(ln_rmsnorm_fwd_args args, float inverse_width) {
  __shared__ float partial[kRowWarps];
  const RowWalk<kRowOfBlock> walk;
  for (int64_t row = walk.first_row; row < args.rows; row += walk.row_step) {
    const int64_t at = row * args.width;
    Pack<4> z[kPacks];
    float squares = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t c = (walk.lane + p * walk.kLanes) * 4;
      if (c >= args.width) continue;
      z[p] = load_pack<4>(args.x, at + c);
      if (args.residual != nullptr) {
        const Pack<4> residual = load_pack<4>(args.residual, at + c);
#pragma unroll
        for (int j = 0; j < 4; ++j) z[p].at[j] += residual.at[j];
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) squares = fmaf(z[p].at[j], z[p].at[j], squares);
    }
    squares = row_sum<kRowOfBlock>(squares, partial);
    const float rstd = rsqrtf(squares * inverse_width + args.epsilon);
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t c = (walk.lane + p * walk.kLanes) * 4;
      if (c >= args.width) continue;
      if (args.sum != nullptr) store_pack<4>(args.sum, at + c, z[p]);
      const Pack<4> weight = load_pack<4>(args.weight, args.weight_dtype, c);
#pragma unroll
      for (int j = 0; j < 4; ++j) z[p].at[j] *= rstd * weight.at[j];
      store_pack<4>(args.y, at + c, z[p]);
    }
    if (args.rstd != nullptr && walk.lane == 0) args.rstd[row] = rstd;
  }
}

template <bool kRowOfBlock>
__global__ void __launch_bounds__(kRowThreads, 4) forward_twice(ln_rmsnorm_fwd_args args, float inverse_width) {
  __shared__ float partial[kRowWarps];
  const RowWalk<kRowOfBlock> walk;
  for (int64_t row = walk.first_row; row < args.rows; row += walk.row_step) {
    const int64_t at = row * args.width;
    float squares = 0;
    for (int64_t i = walk.lane; i < args.width; i += walk.kLanes) {
      const float z = args.residual != nullptr ? args.x[at + i] + args.residual[at + i] : args.x[at + i];
      squares = fmaf(z, z, squares);
    }
    squares = row_sum<kRowOfBlock>(squares, partial);
    const float rstd = rsqrtf(squares * inverse_width + args.epsilon);
    // A thread reads each place before it writes it, so y and sum may be x or residual.
    for (int64_t i = walk.lane; i < args.width; i += walk.kLanes) {
      const float z = args.residual != nullptr ? args.x[at + i] + args.residual[at + i] : args.x[at + i];
      if (args.sum != nullptr) args.sum[at + i] = z;
      args.y[at + i] = z * (rstd * load_element(args.weight, args.weight_dtype, i));
    }
    if (args.rstd != nullptr && walk.lane == 0) args.rstd[row] = rstd;
  }
}

/// dx from g = dy * weight and n = z * rstd, and what the residual's gradient adds.
__device__ __forceinline__ float gradient_of(float g, float n, float rstd, float mean) { return rstd * (g - n * mean); }

template <bool kRowOfBlock, int kPacks>
__global__ void __launch_bounds__(kRowThreads) backward_kept(ln_rmsnorm_bwd_args args, float inverse_width) {
  __shared__ float partial[kRowWarps];
  const RowWalk<kRowOfBlock> walk;
  for (int64_t row = walk.first_row; row < args.rows; row += walk.row_step) {
    const int64_t at = row * args.width;
    const float rstd = args.rstd[row];
    Pack<4> g[kPacks], n[kPacks];
    float dot = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t c = (walk.lane + p * walk.kLanes) * 4;
      if (c >= args.width) continue;
      g[p] = load_pack<4>(args.dy, at + c);
      n[p] = load_pack<4>(args.z, at + c);
      const Pack<4> weight = load_pack<4>(args.weight, args.weight_dtype, c);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        g[p].at[j] *= weight.at[j];
        n[p].at[j] *= rstd;
        dot = fmaf(g[p].at[j], n[p].at[j], dot);
      }
    }
    const float mean = row_sum<kRowOfBlock>(dot, partial) * inverse_width;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t c = (walk.lane + p * walk.kLanes) * 4;
      if (c >= args.width) continue;
#pragma unroll
      for (int j = 0; j < 4; ++j) g[p].at[j] = gradient_of(g[p].at[j], n[p].at[j], rstd, mean);
      if (args.dresidual != nullptr) {
        const Pack<4> residual = load_pack<4>(args.dresidual, at + c);
#pragma unroll
        for (int j = 0; j < 4; ++j) g[p].at[j] += residual.at[j];
      }
      store_pack<4>(args.dx, at + c, g[p]);
    }
  }
}

template <bool kRowOfBlock>
__global__ void __launch_bounds__(kRowThreads, 4) backward_twice(ln_rmsnorm_bwd_args args, float inverse_width) {
  __shared__ float partial[kRowWarps];
  const RowWalk<kRowOfBlock> walk;
  for (int64_t row = walk.first_row; row < args.rows; row += walk.row_step) {
    const int64_t at = row * args.width;
    const float rstd = args.rstd[row];
    float dot = 0;
    for (int64_t i = walk.lane; i < args.width; i += walk.kLanes) {
      const float g = args.dy[at + i] * load_element(args.weight, args.weight_dtype, i);
      dot = fmaf(g, args.z[at + i] * rstd, dot);
    }
    const float mean = row_sum<kRowOfBlock>(dot, partial) * inverse_width;
    for (int64_t i = walk.lane; i < args.width; i += walk.kLanes) {
      const float g = args.dy[at + i] * load_element(args.weight, args.weight_dtype, i);
      const float dx = gradient_of(g, args.z[at + i] * rstd, rstd, mean);
      args.dx[at + i] = args.dresidual != nullptr ? dx + args.dresidual[at + i] : dx;
    }
  }
}

struct WeightGradient {
  using Sum = float;
  const float* dy;
  const float* z;
  const float* rstd;
  float* gradient;
  int64_t width;

  __device__ __forceinline__ float value(int64_t row, int64_t i) const {
    return dy[row * width + i] * (z[row * width + i] * rstd[row]);
  }
  __device__ __forceinline__ void finish(int64_t i, double total) const { gradient[i] += static_cast<float>(total); }
};

template <typename Arguments>
using Kernel = void (*)(Arguments, float);

/// The kernel whose `kept[n]` holds at most 2^n packs per thread, or the last one, which keeps none.
template <typename Arguments>
Kernel<Arguments> kernel_for(int64_t width, int64_t lanes, bool in_packs, const Kernel<Arguments> (&kernels)[5]) {
  for (int n = 0; in_packs && n < 4; ++n) {
    if (width <= lanes * 4 << n) return kernels[n];
  }
  return kernels[4];
}

template <bool kRowOfBlock>
Kernel<ln_rmsnorm_fwd_args> forward_for(int64_t width, bool in_packs) {
  return kernel_for<ln_rmsnorm_fwd_args>(
      width, RowWalk<kRowOfBlock>::kLanes, in_packs,
      {forward_kept<kRowOfBlock, 1>, forward_kept<kRowOfBlock, 2>, forward_kept<kRowOfBlock, 4>,
       forward_kept<kRowOfBlock, 8>, forward_twice<kRowOfBlock>});
}

template <bool kRowOfBlock>
Kernel<ln_rmsnorm_bwd_args> backward_for(int64_t width, bool in_packs) {
  return kernel_for<ln_rmsnorm_bwd_args>(
      width, RowWalk<kRowOfBlock>::kLanes, in_packs,
      {backward_kept<kRowOfBlock, 1>, backward_kept<kRowOfBlock, 2>, backward_kept<kRowOfBlock, 4>,
       backward_kept<kRowOfBlock, 8>, backward_twice<kRowOfBlock>});
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void rmsnorm_fwd(ln_context& context, const ln_rmsnorm_fwd_args& args) {
  using namespace cuda;
  const bool row_of_block = args.width > kWidthOfWarp;
  const bool in_packs = rows_aligned_to_packs(args.width, {args.x, args.residual, args.weight, args.sum, args.y});
  launch(context, "ln_rmsnorm_fwd",
         row_of_block ? forward_for<true>(args.width, in_packs) : forward_for<false>(args.width, in_packs),
         blocks_for_rows(args.rows, row_of_block), kRowThreads, 0, args, 1.0f / static_cast<float>(args.width));
}

void rmsnorm_bwd(ln_context& context, const ln_rmsnorm_bwd_args& args) {
  using namespace cuda;
  // First the gradient of the weight: dx may take the place of dy.
  if (args.grad_weight != nullptr) {
    launch_column_sums(context, "ln_rmsnorm_bwd",
                       WeightGradient{args.dy, args.z, args.rstd, args.grad_weight, args.width}, args.rows, args.width);
  }
  const bool row_of_block = args.width > kWidthOfWarp;
  const bool in_packs = rows_aligned_to_packs(args.width, {args.dy, args.z, args.weight, args.dresidual, args.dx});
  launch(context, "ln_rmsnorm_bwd",
         row_of_block ? backward_for<true>(args.width, in_packs) : backward_for<false>(args.width, in_packs),
         blocks_for_rows(args.rows, row_of_block), kRowThreads, 0, args, 1.0f / static_cast<float>(args.width));
}

}  // namespace ln::backend
