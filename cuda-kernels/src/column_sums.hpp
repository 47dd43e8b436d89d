// Sums over the rows of a matrix, one per column, in an order that depends on the number of rows alone: slices of rows
// by blocks of 32 columns, then the slices in order.
#pragma once

#include <algorithm>

#include "cuda_backend.hpp"

namespace ln::cuda {

constexpr int kSumColumns = 32;  // per block
constexpr int kSumRows = 8;      // of a slice at a time
constexpr int64_t kMostSlices = 64;
constexpr int64_t kLeastRowsOfSlice = 64;

/// operation.value(row, column) is what is added up, in Operation::Sum for the rows of one thread and in float64 from
/// there on; operation.finish(column, total) takes the result.
template <typename Operation>
__global__ void __launch_bounds__(kSumColumns* kSumRows)
    sum_slices_of_columns(Operation operation, int64_t rows, int64_t first, int64_t columns, double* partials) {
  using Sum = typename Operation::Sum;
  __shared__ double sums[kSumRows][kSumColumns];
  const int x = static_cast<int>(threadIdx.x) % kSumColumns, y = static_cast<int>(threadIdx.x) / kSumColumns;
  const int64_t column = int64_t{blockIdx.x} * kSumColumns + x;
  const int64_t rows_of_slice = (rows + gridDim.y - 1) / gridDim.y;
  const int64_t start = blockIdx.y * rows_of_slice;
  const int64_t end = start + rows_of_slice < rows ? start + rows_of_slice : rows;
  Sum sum = 0;
  if (column < columns) {
    for (int64_t row = start + y; row < end; row += kSumRows) sum += operation.value(row, first + column);
  }
  sums[y][x] = static_cast<double>(sum);
  __syncthreads();
  if (y != 0 || column >= columns) return;
  double total = sums[0][x];
#pragma unroll
  for (int i = 1; i < kSumRows; ++i) total += sums[i][x];
  if (gridDim.y == 1) {
    operation.finish(first + column, total);
  } else {
    partials[blockIdx.y * columns + column] = total;
  }
}

template <typename Operation>
__global__ void __launch_bounds__(kSumColumns* kSumRows)
    add_slices_of_columns(Operation operation, int slices, int64_t first, int64_t columns, const double* partials) {
  const int64_t column = int64_t{blockIdx.x} * (kSumColumns * kSumRows) + threadIdx.x;
  if (column >= columns) return;
  double total = 0;
#pragma unroll 8
  for (int s = 0; s < slices; ++s) total += partials[s * columns + column];
  operation.finish(first + column, total);
}

template <typename Operation>
void launch_column_sums(const ln_context& context, const char* name, const Operation& operation, int64_t rows,
                        int64_t columns) {
  const int64_t slices = std::clamp<int64_t>(rows / kLeastRowsOfSlice, 1, kMostSlices);
  constexpr int64_t kAtOnce = kPartials / kMostSlices;
  double* partials = context.backend->partials;
  for (int64_t first = 0; first < columns; first += kAtOnce) {
    const int64_t count = std::min(columns - first, kAtOnce);
    const dim3 grid(static_cast<unsigned>(ceil_div<int64_t>(count, kSumColumns)), static_cast<unsigned>(slices));
    launch(context, name, sum_slices_of_columns<Operation>, grid, kSumColumns * kSumRows, 0, operation, rows, first,
           count, partials);
    if (slices == 1) continue;
    launch(context, name, add_slices_of_columns<Operation>,
           static_cast<unsigned>(ceil_div<int64_t>(count, kSumColumns * kSumRows)), kSumColumns * kSumRows, 0,
           operation, static_cast<int>(slices), first, count, partials);
  }
}

}  // namespace ln::cuda
