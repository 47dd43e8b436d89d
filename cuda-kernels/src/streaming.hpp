// Launching kernels that stream through memory: in packs of four floats where all arrays are aligned to 16 bytes.
#pragma once

#include <initializer_list>

#include "cuda_backend.hpp"
#include "rows.cuh"

namespace ln::cuda {

constexpr int kEachThreads = 256;

/// Whether every array starts at a multiple of 16 bytes.
inline bool aligned_to_packs(std::initializer_list<const void*> arrays) {
  uintptr_t bits = 0;
  for (const void* array : arrays) bits |= reinterpret_cast<uintptr_t>(array);
  return bits % 16 == 0;
}

/// As aligned_to_packs, and so does every row of `width` floats.
inline bool rows_aligned_to_packs(int64_t width, std::initializer_list<const void*> arrays) {
  return width % 4 == 0 && aligned_to_packs(arrays);
}

/// operation.apply<kWidth>(i) for elements i to i + kWidth - 1, every element once, by all threads of the grid.
template <int kWidth, typename Operation>
__device__ __forceinline__ void walk_each(const Operation& operation, int64_t n) {
  const int64_t thread = int64_t{blockIdx.x} * kEachThreads + threadIdx.x;
  const int64_t threads = int64_t{gridDim.x} * kEachThreads;
  const int64_t packs = n / kWidth;
  for (int64_t i = thread; i < packs; i += threads) operation.template apply<kWidth>(i * kWidth);
  if constexpr (kWidth > 1) {
    for (int64_t i = packs * kWidth + thread; i < n; i += threads) operation.template apply<1>(i);
  }
}

template <int kWidth, typename Operation>
__global__ void __launch_bounds__(kEachThreads) each(Operation operation, int64_t n) {
  walk_each<kWidth>(operation, n);
}

template <typename Operation>
void launch_each(const ln_context& context, const char* name, const Operation& operation, int64_t n, bool in_packs) {
  if (in_packs) {
    launch(context, name, each<4, Operation>, blocks_for(ceil_div<int64_t>(n, 4), kEachThreads), kEachThreads, 0,
           operation, n);
  } else {
    launch(context, name, each<1, Operation>, blocks_for(n, kEachThreads), kEachThreads, 0, operation, n);
  }
}

/// Blocks for a RowWalk over `rows`.
inline unsigned blocks_for_rows(int64_t rows, bool row_of_block) {
  return blocks_for(rows, row_of_block ? 1 : kRowWarps);
}

/// operation.row<kRowOfBlock, kWidth>(row, lane) by all threads of each row; with kWidth 4 the width of a row is a
/// multiple of four.
template <bool kRowOfBlock, int kWidth, typename Operation>
__global__ void __launch_bounds__(kRowThreads, 4) each_row(Operation operation, int64_t rows) {
  const RowWalk<kRowOfBlock> walk;
  for (int64_t row = walk.first_row; row < rows; row += walk.row_step) {
    operation.template row<kRowOfBlock, kWidth>(row, walk.lane);
  }
}

template <typename Operation>
void launch_each_row(const ln_context& context, const char* name, const Operation& operation, int64_t rows,
                     int64_t width, bool in_packs) {
  const bool row_of_block = width > kWidthOfWarp;
  const auto kernel = row_of_block ? (in_packs ? each_row<true, 4, Operation> : each_row<true, 1, Operation>)
                                   : (in_packs ? each_row<false, 4, Operation> : each_row<false, 1, Operation>);
  launch(context, name, kernel, blocks_for_rows(rows, row_of_block), kRowThreads, 0, operation, rows);
}

}  // namespace ln::cuda
