// Sums and maxima over a warp or a block, in an order that depends on the number of threads alone.
#pragma once

#include "../simt/simt.hpp"

namespace ln::cuda {

/// Every lane gets the sum of the warp's 32 values.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}

__device__ __forceinline__ float warp_max(float value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, lanes));
  return value;
}

/// Lane l gets the sum of lanes 0 to l.
__device__ __forceinline__ int32_t warp_inclusive_sum(int32_t value) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int lanes = 1; lanes < 32; lanes *= 2) {
    const int32_t below = __shfl_up_sync(0xffffffffu, value, static_cast<unsigned>(lanes));
    if (lane >= lanes) value += below;
  }
  return value;
}

/// Every thread gets the sum over the block; `partial` is shared memory for one value per warp. All threads of the
/// block take part; the number of threads is a multiple of 32. Ends after a barrier, so that `partial` may be used
/// again.
template <typename T>
__device__ __forceinline__ T block_sum(T value, T* partial) {
  const int warps = static_cast<int>(blockDim.x) / 32;
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  T total = partial[0];
  for (int w = 1; w < warps; ++w) total += partial[w];
  __syncthreads();
  return total;
}

}  // namespace ln::cuda
