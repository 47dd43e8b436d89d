// RMSNorm. Forward and dx: one warp per row for narrow rows (the norm of a head), one block per row for wide ones; a
// row is read twice, the second time from the cache. The gradient of the weight: one thread per column and slice of
// rows, slices summed in order, because rows must not meet in an atomic.
#include "cuda_backend.hpp"
#include "elements.cuh"
#include "reduce.cuh"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kWidthOfWarp = 1024;  // up to here a row belongs to one warp
constexpr int kColumns = 32;            // of the weight's gradient, per block
constexpr int kSlices = 8;              // of rows, per block

/// Sum over the threads that share a row: the warp, or the block.
template <bool kRowOfBlock>
__device__ __forceinline__ float row_sum(float value, float* partial) {
  return kRowOfBlock ? block_sum(value, partial) : warp_sum(value);
}

template <bool kRowOfBlock>
struct RowWalk {
  int64_t first_row, row_step;
  int lane, lanes;

  __device__ RowWalk()
      : first_row(kRowOfBlock ? blockIdx.x : blockIdx.x * (kThreads / kWarp) + threadIdx.x / kWarp),
        row_step(kRowOfBlock ? gridDim.x : int64_t{gridDim.x} * (kThreads / kWarp)),
        lane(static_cast<int>(kRowOfBlock ? threadIdx.x : threadIdx.x % kWarp)),
        lanes(kRowOfBlock ? kThreads : kWarp) {}
};

template <bool kRowOfBlock>
__global__ void __launch_bounds__(kThreads) rmsnorm_forward(ln_rmsnorm_fwd_args args, float inverse_width) {
  __shared__ float partial[kThreads / kWarp];
  const RowWalk<kRowOfBlock> walk;
  for (int64_t row = walk.first_row; row < args.rows; row += walk.row_step) {
    const int64_t at = row * args.width;
    float squares = 0;
    for (int64_t i = walk.lane; i < args.width; i += walk.lanes) {
      const float z = args.residual != nullptr ? args.x[at + i] + args.residual[at + i] : args.x[at + i];
      squares += z * z;
    }
    squares = row_sum<kRowOfBlock>(squares, partial);
    const float rstd = rsqrtf(squares * inverse_width + args.epsilon);
    // A thread reads each place before it writes it, so y and sum may be x or residual.
    for (int64_t i = walk.lane; i < args.width; i += walk.lanes) {
      const float z = args.residual != nullptr ? args.x[at + i] + args.residual[at + i] : args.x[at + i];
      if (args.sum != nullptr) args.sum[at + i] = z;
      args.y[at + i] = z * rstd * load_element(args.weight, args.weight_dtype, i);
    }
    if (args.rstd != nullptr && walk.lane == 0) args.rstd[row] = rstd;
  }
}

template <bool kRowOfBlock>
__global__ void __launch_bounds__(kThreads) rmsnorm_backward(ln_rmsnorm_bwd_args args, float inverse_width) {
  __shared__ float partial[kThreads / kWarp];
  const RowWalk<kRowOfBlock> walk;
  for (int64_t row = walk.first_row; row < args.rows; row += walk.row_step) {
    const int64_t at = row * args.width;
    const float rstd = args.rstd[row];
    float dot = 0;
    for (int64_t i = walk.lane; i < args.width; i += walk.lanes) {
      dot += args.dy[at + i] * load_element(args.weight, args.weight_dtype, i) * (args.z[at + i] * rstd);
    }
    const float mean = row_sum<kRowOfBlock>(dot, partial) * inverse_width;
    for (int64_t i = walk.lane; i < args.width; i += walk.lanes) {
      const float g = args.dy[at + i] * load_element(args.weight, args.weight_dtype, i);
      const float dx = rstd * (g - args.z[at + i] * rstd * mean);
      args.dx[at + i] = args.dresidual != nullptr ? dx + args.dresidual[at + i] : dx;
    }
  }
}

/// grad_weight of kColumns columns; thread (column, slice) sums the rows slice, slice + kSlices, ...
__global__ void __launch_bounds__(kColumns* kSlices) rmsnorm_weight_gradient(ln_rmsnorm_bwd_args args) {
  __shared__ float sums[kSlices][kColumns];
  const int column = static_cast<int>(threadIdx.x) % kColumns, slice = static_cast<int>(threadIdx.x) / kColumns;
  const int64_t i = int64_t{blockIdx.x} * kColumns + column;
  float sum = 0;
  if (i < args.width) {
    for (int64_t row = slice; row < args.rows; row += kSlices) {
      sum += args.dy[row * args.width + i] * (args.z[row * args.width + i] * args.rstd[row]);
    }
  }
  sums[slice][column] = sum;
  __syncthreads();
  if (slice != 0 || i >= args.width) return;
  for (int s = 1; s < kSlices; ++s) sum += sums[s][column];
  args.grad_weight[i] += sum;
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void rmsnorm_fwd(ln_context& context, const ln_rmsnorm_fwd_args& args) {
  using namespace cuda;
  if (args.width <= kWidthOfWarp) {
    launch(context, "ln_rmsnorm_fwd", rmsnorm_forward<false>, blocks_for(args.rows, kThreads / kWarp), kThreads, 0,
           args, 1.0f / static_cast<float>(args.width));
  } else {
    launch(context, "ln_rmsnorm_fwd", rmsnorm_forward<true>, blocks_for(args.rows, 1), kThreads, 0, args,
           1.0f / static_cast<float>(args.width));
  }
}

void rmsnorm_bwd(ln_context& context, const ln_rmsnorm_bwd_args& args) {
  using namespace cuda;
  // First the gradient of the weight: dx may take the place of dy.
  if (args.grad_weight != nullptr) {
    launch(context, "ln_rmsnorm_bwd", rmsnorm_weight_gradient,
           static_cast<unsigned>(ceil_div<int64_t>(args.width, kColumns)), kColumns * kSlices, 0, args);
  }
  if (args.width <= kWidthOfWarp) {
    launch(context, "ln_rmsnorm_bwd", rmsnorm_backward<false>, blocks_for(args.rows, kThreads / kWarp), kThreads, 0,
           args, 1.0f / static_cast<float>(args.width));
  } else {
    launch(context, "ln_rmsnorm_bwd", rmsnorm_backward<true>, blocks_for(args.rows, 1), kThreads, 0, args,
           1.0f / static_cast<float>(args.width));
  }
}

}  // namespace ln::backend
