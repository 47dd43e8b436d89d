// Weight-decomposed adapters.
//
// Norms: a block has kRowsOfBlock rows of the adapted weight; a thread has columns of it, 8 side by side, of which it
// makes weight + scale * b . a in registers: lora_a is read once per block, from L2. rank multiply-adds per
// element in float32: bound by the weight's bytes up to a rank of about 16, then by the multiply-adds. A row's squares
// are summed by threads along the row, then by the tree of the warp, then over the warps.
//
// Forward and backward: elementwise, a thread has columns and goes down the rows, so that it divides once. The
// magnitude's gradient: threads (column, slice of rows), slices summed in order. All bound by bytes.
#include "cuda_backend.hpp"
#include "elements.cuh"
#include "operand.cuh"
#include "quantized.cuh"
#include "reduce.cuh"

namespace ln::cuda {

namespace {

constexpr int kThreads = 128, kWarps = kThreads / kWarp;
constexpr int kRowsOfBlock = 4;
constexpr int kColumns = 8, kSlices = 32;  // of the magnitude's gradient, per block: sectors of 32 bytes
constexpr int kRowsOfThread = 8;

struct AdaptedWeight {
  const void* weight;
  const float* lora_a;
  const float* lora_b;
  int64_t out, in, rank;
  int32_t dtype;
  float scale;
};

/// kWhole: whole_chunks() of the weight and lora_a.
template <bool kFourBits, bool kWhole>
__global__ void __launch_bounds__(kThreads) lengths_of_rows(AdaptedWeight adapted, float* norms) {
  __shared__ float table[kCodes];
  __shared__ float partial[kWarps];
  const int64_t first_row = int64_t{blockIdx.x} * kRowsOfBlock;
  if (kFourBits) {
    fill_code_table(table, adapted.dtype);
    __syncthreads();
    if (quantized_view(adapted.weight, adapted.out * adapted.in).elements == 0) {  // for the whole block
      const int64_t row = first_row + threadIdx.x;
      if (threadIdx.x < kRowsOfBlock && row < adapted.out) norms[row] = __uint_as_float(0x7fffffffu);  // NaN
      return;
    }
  }
  float squares[kRowsOfBlock] = {};
  const Reader<kFourBits, kWhole> weight(adapted.weight, adapted.dtype);
  const Reader<false, kWhole> lora_a(adapted.lora_a, LN_F32);
  for (int64_t column = static_cast<int64_t>(threadIdx.x) * kChunk; column < adapted.in; column += kThreads * kChunk) {
    const int valid = static_cast<int>(adapted.in - column < kChunk ? adapted.in - column : kChunk);
    Chunk stored[kRowsOfBlock];
#pragma unroll
    for (int r = 0; r < kRowsOfBlock; ++r) {
      weight.fetch(stored[r], (first_row + r) * adapted.in + column, first_row + r < adapted.out ? valid : 0);
    }
    float update[kRowsOfBlock][kChunk] = {};
    for (int64_t k = 0; k < adapted.rank; ++k) {
      Chunk chunk;
      lora_a.fetch(chunk, k * adapted.in + column, valid);
      float a[kChunk];
      lora_a.floats(a, chunk, nullptr);
#pragma unroll
      for (int r = 0; r < kRowsOfBlock; ++r) {
        const float b = first_row + r < adapted.out ? adapted.lora_b[(first_row + r) * adapted.rank + k] : 0.0f;
#pragma unroll
        for (int i = 0; i < kChunk; ++i) update[r][i] = fmaf(b, a[i], update[r][i]);
      }
    }
#pragma unroll
    for (int r = 0; r < kRowsOfBlock; ++r) {
      float value[kChunk];
      weight.floats(value, stored[r], table);
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        const float x = fmaf(adapted.scale, update[r][i], value[i]);
        if (kWhole || i < valid) squares[r] = fmaf(x, x, squares[r]);  // a chunk of 4 bits may go on
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRowsOfBlock; ++r) {
    const float sum = block_sum(squares[r], partial);
    if (threadIdx.x == 0 && first_row + r < adapted.out) norms[first_row + r] = __fsqrt_rn(sum);
  }
}

/// 0 for a row without length: all that is scaled by it is 0 too.
__device__ __forceinline__ float factor_of(const float* magnitude, const float* norms, int64_t o) {
  return norms[o] > 0 ? __fdiv_rn(magnitude[o], norms[o]) : 0.0f;
}

__global__ void __launch_bounds__(kThreads) dora_forward(ln_dora_fwd_args args) {
  const int64_t o = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (o >= args.out) return;
  const float factor = factor_of(args.magnitude, args.norms, o);
  const float bias = args.bias != nullptr ? load_element(args.bias, args.bias_dtype, o) : 0.0f;
  for (int64_t first = int64_t{blockIdx.y} * kRowsOfThread; first < args.rows;
       first += int64_t{gridDim.y} * kRowsOfThread) {
    float z[kRowsOfThread];
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) z[r] = first + r < args.rows ? args.z[(first + r) * args.out + o] : 0;
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      if (first + r >= args.rows) continue;
      float* const y = args.y + (first + r) * args.out + o;
      const float value = fmaf(factor, z[r], bias);
      *y = args.accumulate != 0 ? *y + value : value;
    }
  }
}

__global__ void __launch_bounds__(kThreads) dora_backward(ln_dora_bwd_args args) {
  const int64_t o = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (o >= args.out) return;
  const float factor = factor_of(args.magnitude, args.norms, o);
  for (int64_t first = int64_t{blockIdx.y} * kRowsOfThread; first < args.rows;
       first += int64_t{gridDim.y} * kRowsOfThread) {
    float dy[kRowsOfThread];
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) dy[r] = first + r < args.rows ? args.dy[(first + r) * args.out + o] : 0;
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      if (first + r < args.rows) args.dz[(first + r) * args.out + o] = factor * dy[r];
    }
  }
}

/// Thread (column, slice) sums the rows slice, slice + kSlices, ...
__global__ void __launch_bounds__(kColumns* kSlices) magnitude_gradient(ln_dora_bwd_args args) {
  __shared__ float sums[kSlices][kColumns];
  const int column = static_cast<int>(threadIdx.x) % kColumns, slice = static_cast<int>(threadIdx.x) / kColumns;
  const int64_t o = int64_t{blockIdx.x} * kColumns + column;
  float sum = 0;
  if (o < args.out) {
#pragma unroll 4
    for (int64_t row = slice; row < args.rows; row += kSlices) {
      sum = fmaf(args.dy[row * args.out + o], args.z[row * args.out + o], sum);
    }
  }
  sums[slice][column] = sum;
  __syncthreads();
  if (slice != 0 || o >= args.out || !(args.norms[o] > 0)) return;
  for (int s = 1; s < kSlices; ++s) sum += sums[s][column];
  args.grad_magnitude[o] += __fdiv_rn(sum, args.norms[o]);
}

dim3 grid_for(int64_t rows, int64_t out) {
  return dim3(static_cast<unsigned>(ceil_div<int64_t>(out, kThreads)), blocks_for(rows, kRowsOfThread, 65535));
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void dora_norms(ln_context& context, const void* weight, int32_t weight_dtype, const float* lora_a, const float* lora_b,
                float scale, float* norms, int64_t out, int64_t in, int64_t rank, const Checker&) {
  using namespace cuda;
  const AdaptedWeight adapted = {weight, lora_a, lora_b, out, in, rank, weight_dtype, scale};
  const bool whole = whole_chunks({weight, in, out, weight_dtype, 1}, in) &&
                     (rank == 0 || whole_chunks({lora_a, in, rank, LN_F32, 1}, in));
  launch(context, "ln_dora_norms",
         is_quantized(weight_dtype) ? (whole ? lengths_of_rows<true, true> : lengths_of_rows<true, false>)
                                    : (whole ? lengths_of_rows<false, true> : lengths_of_rows<false, false>),
         static_cast<unsigned>(ceil_div<int64_t>(out, kRowsOfBlock)), kThreads, 0, adapted, norms);
}

void dora_fwd(ln_context& context, const ln_dora_fwd_args& args) {
  using namespace cuda;
  launch(context, "ln_dora_fwd", dora_forward, grid_for(args.rows, args.out), kThreads, 0, args);
}

void dora_bwd(ln_context& context, const ln_dora_bwd_args& args) {
  using namespace cuda;
  // First the gradient of the magnitude: dz may take the place of dy or z.
  if (args.grad_magnitude != nullptr) {
    launch(context, "ln_dora_bwd", magnitude_gradient, static_cast<unsigned>(ceil_div<int64_t>(args.out, kColumns)),
           kColumns * kSlices, 0, args);
  }
  launch(context, "ln_dora_bwd", dora_backward, grid_for(args.rows, args.out), kThreads, 0, args);
}

}  // namespace ln::backend
