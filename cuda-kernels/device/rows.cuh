// Who works on which row: one warp for narrow rows, one block for wide ones.
#pragma once

#include "reduce.cuh"

namespace ln::cuda {

constexpr int kRowThreads = 256;
constexpr int kRowWarps = kRowThreads / 32;
constexpr int64_t kWidthOfWarp = 1024;  // up to here a row belongs to one warp

/// Rows first_row, first_row + row_step, ...; of each, this thread has the elements lane, lane + lanes, ...
template <bool kRowOfBlock>
struct RowWalk {
  static constexpr int kLanes = kRowOfBlock ? kRowThreads : 32;
  int64_t first_row, row_step;
  int lane;

  __device__ __forceinline__ RowWalk()
      : first_row(kRowOfBlock ? blockIdx.x : int64_t{blockIdx.x} * kRowWarps + threadIdx.x / 32),
        row_step(kRowOfBlock ? gridDim.x : int64_t{gridDim.x} * kRowWarps),
        lane(static_cast<int>(kRowOfBlock ? threadIdx.x : threadIdx.x % 32)) {}
};

/// Sum over the threads that share a row; `partial` has room for one value per warp.
template <bool kRowOfBlock, typename T>
__device__ __forceinline__ T row_sum(T value, T* partial) {
  if constexpr (kRowOfBlock) {
    return block_sum(value, partial);
  } else {
    return warp_sum(value);
  }
}

}  // namespace ln::cuda
