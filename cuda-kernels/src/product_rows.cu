// Products of few rows (generation, small batches): a block has a few columns of the result and reads the right operand
// once, its four warps share k; every thread multiplies what it decodes with all rows in float32, whatever the
// precision of the context. Bound by the bytes of the right operand. The sum of a column: lanes along k, then the tree
// of the warp, then the warps in order.
#include "products.hpp"
#include "reduce.cuh"

namespace ln::cuda {

namespace {

constexpr int kThreads = 128, kWarps = kThreads / kWarp;
constexpr int kStep = kThreads * kChunk;  // of k, per round of a block

struct RowsArgs {
  Operand left, right, extra_left, extra_right;
  int64_t k, extra_k;
  float extra_scale;
  ProductOutput output;
};

/// sums[row][column] += the products of this thread's chunks. Two rounds' loads are in flight together.
template <int kRows, int kColumns, bool kFourBits, bool kWhole>
__device__ __forceinline__ void add_products(float (&sums)[kRows][kColumns], const Operand& left_matrix,
                                             const Operand& right_matrix, int64_t k, int64_t first_column, int64_t m,
                                             int64_t n, const float* table) {
  const Reader<false, kWhole> left(left_matrix.data, left_matrix.dtype);
  const Reader<kFourBits, kWhole> right(right_matrix.data, right_matrix.dtype);
  constexpr int kRounds = 2;
  for (int64_t first = static_cast<int64_t>(threadIdx.x) * kChunk; first < k; first += kRounds * kStep) {
    Chunk chunk[kRounds][kColumns];
    int valid[kRounds];
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const int64_t p = first + r * kStep;
      valid[r] = p + kChunk <= k ? kChunk : p < k ? static_cast<int>(k - p) : 0;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        right.fetch(chunk[r][c], (first_column + c) * right_matrix.ld + p, first_column + c < n ? valid[r] : 0);
      }
    }
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      float weight[kColumns][kChunk];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) right.floats(weight[c], chunk[r][c], table);
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        Chunk of_row;
        left.fetch(of_row, row * left_matrix.ld + first + r * kStep, row < m ? valid[r] : 0);
        float x[kChunk];
        left.floats(x, of_row, nullptr);
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
#pragma unroll
          for (int i = 0; i < kChunk; ++i) sums[row][c] = fmaf(x[i], weight[c][i], sums[row][c]);
        }
      }
    }
  }
}

template <int kRows, int kColumns, bool kFourBits, bool kWhole>
__global__ void __launch_bounds__(kThreads, 3) product_of_few_rows(RowsArgs args) {
  __shared__ float table[16];
  __shared__ float partial[kWarps][kRows * kColumns];
  if (kFourBits) {
    fill_code_table(table, args.right.dtype);
    __syncthreads();
  }
  const int64_t m = args.output.m, n = args.output.n, first_column = int64_t{blockIdx.x} * kColumns;
  float sums[kRows][kColumns] = {};
  if (args.extra_k > 0) {
    add_products<kRows, kColumns, false, false>(sums, args.extra_left, args.extra_right, args.extra_k, first_column, m,
                                                n, nullptr);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) sums[row][c] *= args.extra_scale;
    }
  }
  add_products<kRows, kColumns, kFourBits, kWhole>(sums, args.left, args.right, args.k, first_column, m, n, table);
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const float sum = warp_sum(sums[row][c]);
      if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp][row * kColumns + c] = sum;
    }
  }
  __syncthreads();
  if (threadIdx.x >= kRows * kColumns) return;
  float sum = partial[0][threadIdx.x];
  for (int w = 1; w < kWarps; ++w) sum += partial[w][threadIdx.x];
  args.output.store(threadIdx.x / kColumns, first_column + threadIdx.x % kColumns, sum);
}

template <int kRows, int kColumns, bool kWhole>
void launch_rows(const ln_context& context, const char* name, const RowsArgs& args) {
  const dim3 grid(static_cast<unsigned>(ceil_div<int64_t>(args.output.n, kColumns)));
  launch(context, name,
         is_quantized(args.right.dtype) ? product_of_few_rows<kRows, kColumns, true, kWhole>
                                        : product_of_few_rows<kRows, kColumns, false, kWhole>,
         grid, kThreads, 0, args);
}

}  // namespace

void multiply_few_rows(const ln_context& context, const char* name, const Product& p) {
  const RowsArgs args = {p.left, p.right, p.extra_left, p.extra_right, p.k, p.extra_k, p.extra_scale, output_of(p)};
  if (!whole_chunks(p.left, p.k) || !whole_chunks(p.right, p.k)) {
    launch_rows<8, 2, false>(context, name, args);
  } else if (p.m == 1) {
    launch_rows<1, 4, true>(context, name, args);
  } else if (p.m == 2) {
    launch_rows<2, 4, true>(context, name, args);
  } else if (p.m <= 4) {
    launch_rows<4, 4, true>(context, name, args);
  } else {
    launch_rows<8, 2, true>(context, name, args);
  }
}

}  // namespace ln::cuda
