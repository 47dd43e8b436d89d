// Sums in float64. Of a whole array: at most 1024 blocks, whose number depends on n alone, add up groups of four
// neighbours a grid apart; their sums, in the context's partials, are added by a second kernel. Bound by bytes: 4 per
// element. Of columns: column_sums.hpp.
#include "column_sums.hpp"
#include "packs.cuh"
#include "reduce.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1024;
constexpr int64_t kElementsOfBlock = 4096;
static_assert(kMostBlocks <= kPartials, "one sum per block");

template <bool kSquares>
__device__ __forceinline__ double term(float x) {
  const double value = static_cast<double>(x);
  return kSquares ? value * value : value;
}

/// The order is the same with and without packs.
template <bool kSquares, bool kInPacks>
__global__ void __launch_bounds__(kThreads) sum_by_blocks(const float* x, int64_t n, double* sums) {
  __shared__ double partial[kThreads / kWarp];
  const int64_t step = int64_t{gridDim.x} * kThreads * 4;
  double total = 0;
#pragma unroll 4
  for (int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * 4; i < n; i += step) {
    if (kInPacks && i + 4 <= n) {
      const Pack<4> four = load_pack<4>(x, i);
#pragma unroll
      for (int j = 0; j < 4; ++j) total += term<kSquares>(four.at[j]);
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (i + j < n) total += term<kSquares>(x[i + j]);
      }
    }
  }
  total = block_sum(total, partial);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

__global__ void __launch_bounds__(kThreads) add_sums(const double* sums, int count, double* result) {
  __shared__ double partial[kThreads / kWarp];
  double total = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) total += sums[i];
  total = block_sum(total, partial);
  if (threadIdx.x == 0) *result = total;
}

template <bool kSquares>
void reduce(const ln_context& context, const char* name, const float* x, int64_t n, double* result) {
  const unsigned blocks = blocks_for(n, kElementsOfBlock, kMostBlocks);
  const auto kernel = aligned_to_packs({x}) ? sum_by_blocks<kSquares, true> : sum_by_blocks<kSquares, false>;
  double* partials = context.backend->partials;
  launch(context, name, kernel, blocks, kThreads, 0, x, n, blocks == 1 ? result : partials);
  if (blocks > 1) launch(context, name, add_sums, 1, kThreads, 0, partials, static_cast<int>(blocks), result);
}

struct Columns {
  using Sum = float;
  const float* x;
  float* result;
  int64_t columns;

  __device__ __forceinline__ float value(int64_t row, int64_t column) const { return x[row * columns + column]; }
  __device__ __forceinline__ void finish(int64_t column, double total) const {
    result[column] += static_cast<float>(total);
  }
};

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void sum(ln_context& context, const float* x, int64_t n, double* result) {
  cuda::reduce<false>(context, "ln_sum", x, n, result);
}

void sum_of_squares(ln_context& context, const float* x, int64_t n, double* result) {
  cuda::reduce<true>(context, "ln_sum_of_squares", x, n, result);
}

void column_sums(ln_context& context, const float* x, float* result, int64_t rows, int64_t columns) {
  cuda::launch_column_sums(context, "ln_column_sums", cuda::Columns{x, result, columns}, rows, columns);
}

}  // namespace ln::backend
