// Operands brought into bfloat16 or float32 scratch before a large product, up to four at once. A thread converts
// chunks of eight elements of four rows; their loads are issued together. Bound by memory: a 4-bit weight moves 0.53
// bytes in and 2 out per element.
#include <algorithm>

#include "products.hpp"

namespace ln::cuda {

namespace {

constexpr int kLanes = 32, kRowsOfBlock = 4, kRowsOfThread = 4;

struct Conversions {
  Conversion of[kConversions];  // by blockIdx.z
  int32_t data_dtype, dtype;
};

template <bool kFourBits, bool kWhole>
__global__ void __launch_bounds__(kLanes* kRowsOfBlock) convert_chunks(Conversions all) {
  __shared__ float table[16];
  if (kFourBits) {
    fill_code_table(table, all.data_dtype);
    __syncthreads();
  }
  const Conversion x = all.of[blockIdx.z];
  const int64_t column = (int64_t{blockIdx.x} * kLanes + threadIdx.x) * kChunk;
  if (column >= x.target_columns) return;
  const Reader<kFourBits, kWhole> reader(x.data, all.data_dtype);
  const int64_t left = x.columns - column;
  const int valid = left >= kChunk ? kChunk : left > 0 ? static_cast<int>(left) : 0;
  for (int64_t first = int64_t{blockIdx.y} * kRowsOfBlock * kRowsOfThread + threadIdx.y; first < x.target_rows;
       first += int64_t{gridDim.y} * kRowsOfBlock * kRowsOfThread) {
    Chunk chunk[kRowsOfThread];
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      const int64_t row = first + r * kRowsOfBlock;
      reader.fetch(chunk[r], row * x.ld + column, row < x.rows ? valid : 0);
    }
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      const int64_t row = first + r * kRowsOfBlock;
      if (row >= x.target_rows) break;
      if (all.dtype == LN_BF16) {
        *reinterpret_cast<uint4*>(static_cast<uint16_t*>(x.target) + row * x.target_ld + column) =
            reader.bf16(chunk[r], table);
      } else {
        float value[kChunk];
        reader.floats(value, chunk[r], table);
        float4* const to = reinterpret_cast<float4*>(static_cast<float*>(x.target) + row * x.target_ld + column);
        to[0] = make_float4(value[0], value[1], value[2], value[3]);
        to[1] = make_float4(value[4], value[5], value[6], value[7]);
      }
    }
  }
}

}  // namespace

void convert_matrices(const ln_context& context, const char* name, const Conversion* matrices, int count,
                      int32_t data_dtype, int32_t dtype) {
  Conversions all = {};
  all.data_dtype = data_dtype;
  all.dtype = dtype;
  int64_t rows = 0, columns = 0;
  bool whole = true;
  for (int i = 0; i < count; ++i) {
    const Conversion& x = all.of[i] = matrices[i];
    rows = std::max(rows, x.target_rows);
    columns = std::max(columns, x.target_columns);
    whole = whole && whole_chunks({x.data, x.ld, x.rows, data_dtype, 1}, x.columns);
  }
  if (rows == 0 || columns == 0) return;
  const dim3 grid(static_cast<unsigned>(ceil_div<int64_t>(columns, kLanes * kChunk)),
                  blocks_for(rows, kRowsOfBlock * kRowsOfThread, 65535), static_cast<unsigned>(count));
  const dim3 block(kLanes, kRowsOfBlock);
  const bool four_bits = is_quantized(data_dtype);
  launch(context, name,
         four_bits ? whole ? convert_chunks<true, true> : convert_chunks<true, false>
         : whole ? convert_chunks<false, true>
                   : convert_chunks<false, false>,
         grid, block, 0, all);
}

}  // namespace ln::cuda
