// Rows of a table by token id, and their gradients.
//
// Forward: one warp or block per token, in packs where rows are aligned. Bound by bytes: 4 + the element's size per
// float. 4-bit tables are decoded value by value, each with one rounding as ln_quantized says.
//
// Backward, where tokens may share a row and the additions have the order of the tokens: one block per token and slice
// of 1024 columns. A block that finds an earlier token of the same row leaves; the first token's block walks over all
// later tokens and adds those of its row in their order, in the order of t and without atomics. Reading all ids
// per token costs 4 T^2 bytes from L2 (256 MiB for T = 8192, about 0.1 ms) and beats a sort until T is about 50,000.
//
// An id outside the vocabulary: the forward pass gives a row of NaN, the backward pass leaves it out. A slot outside
// [-1, count) counts as none.
#include "packs.cuh"
#include "quantized.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

struct Forward {
  const void* table;
  const int32_t* ids;
  float* y;
  int64_t vocabulary, width;
  int32_t table_dtype;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t t, int lane) const {
    const int64_t id = ids[t];
    const bool inside = id >= 0 && id < vocabulary;
    for (int64_t c = lane * kWidth; c < width; c += RowWalk<kRowOfBlock>::kLanes * kWidth) {
      Pack<kWidth> pack;
      if (inside) {
        pack = load_pack<kWidth>(table, table_dtype, id * width + c);
      } else {
#pragma unroll
        for (int j = 0; j < kWidth; ++j) pack.at[j] = NAN;
      }
      store_pack<kWidth>(y, t * width + c, pack);
    }
  }
};

struct QuantizedForward {
  const ln_quantized* table;
  const int32_t* ids;
  float* y;
  int64_t vocabulary, width;
  int32_t type;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t t, int lane) const {
    const int64_t id = ids[t];
    const bool inside = id >= 0 && id < vocabulary;
    for (int64_t c = lane; c < width; c += RowWalk<kRowOfBlock>::kLanes) {
      y[t * width + c] = inside ? quantized_element(*table, type, id * width + c) : NAN;
    }
  }
};

struct ReplaceRows {
  const float* rows;
  const int32_t* slots;
  const int32_t* ids;
  float* y;
  int64_t vocabulary, count, width;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t t, int lane) const {
    const int64_t id = ids[t];
    const bool inside = id >= 0 && id < vocabulary;
    const int64_t slot = inside ? slots[id] : 0;
    if (inside && (slot < 0 || slot >= count)) return;
    for (int64_t c = lane * kWidth; c < width; c += RowWalk<kRowOfBlock>::kLanes * kWidth) {
      Pack<kWidth> pack;
      if (inside) {
        pack = load_pack<kWidth>(rows, slot * width + c);
      } else {
#pragma unroll
        for (int j = 0; j < kWidth; ++j) pack.at[j] = NAN;
      }
      store_pack<kWidth>(y, t * width + c, pack);
    }
  }
};

constexpr int kGradientThreads = 256;
constexpr int kGradientWarps = kGradientThreads / kWarp;
constexpr int64_t kColumnsOfSlice = 1024;

/// Which row of the gradient a token adds to; -1: none.
struct RowOfToken {
  const int32_t* slots;  // or NULL: the id itself
  const int32_t* ids;
  int64_t vocabulary, count;

  __device__ __forceinline__ int64_t operator()(int64_t t) const {
    const int64_t id = ids[t];
    if (id < 0 || id >= vocabulary) return -1;
    const int64_t row = slots == nullptr ? id : slots[id];
    return row < count ? row : -1;
  }
};

template <int kWidth>
__global__ void __launch_bounds__(kGradientThreads)
    add_gradients(const float* dy, RowOfToken row_of, float* gradients, int64_t tokens, int64_t width) {
  __shared__ int32_t matches[kGradientThreads];
  __shared__ int32_t matches_of_warp[kGradientWarps];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int64_t first = blockIdx.x, row = row_of(first);
  if (row < 0) return;
  for (int64_t at = 0; at < first; at += kGradientThreads) {
    const int64_t t = at + thread;
    if (__syncthreads_or(t < first && row_of(t) == row)) return;  // the block of an earlier token does it
  }
  const int64_t start = blockIdx.y * kColumnsOfSlice;
  const int64_t end = start + kColumnsOfSlice < width ? start + kColumnsOfSlice : width;
  for (int64_t at = first; at < tokens; at += kGradientThreads) {
    // The tokens of this row among the next, in their order.
    const int64_t t = at + thread;
    const bool match = t < tokens && row_of(t) == row;
    const unsigned equals = __ballot_sync(kAllLanes, match);
    if (lane == 0) matches_of_warp[warp] = __popc(equals);
    __syncthreads();
    int place = __popc(equals & ((1u << lane) - 1)), count = 0;
#pragma unroll
    for (int w = 0; w < kGradientWarps; ++w) {
      if (w < warp) place += matches_of_warp[w];
      count += matches_of_warp[w];
    }
    if (match) matches[place] = thread;
    __syncthreads();
    for (int64_t c = start + thread * kWidth; count > 0 && c < end; c += kGradientThreads * kWidth) {
      Pack<kWidth> total = load_pack<kWidth>(gradients, row * width + c);
      for (int i = 0; i < count; ++i) {
        const Pack<kWidth> value = load_pack<kWidth>(dy, (at + matches[i]) * width + c);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) total.at[j] += value.at[j];
      }
      store_pack<kWidth>(gradients, row * width + c, total);
    }
    __syncthreads();  // before the next matches
  }
}

void launch_gradients(const ln_context& context, const char* name, const float* dy, const RowOfToken& row_of,
                      float* gradients, int64_t tokens, int64_t width) {
  const auto kernel = rows_aligned_to_packs(width, {dy, gradients}) ? add_gradients<4> : add_gradients<1>;
  const dim3 grid(static_cast<unsigned>(tokens), static_cast<unsigned>(ceil_div(width, kColumnsOfSlice)));
  launch(context, name, kernel, grid, kGradientThreads, 0, dy, row_of, gradients, tokens, width);
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void embedding_fwd(ln_context& context, const void* table, int32_t table_dtype, const int32_t* ids, float* y,
                   int64_t tokens, int64_t vocabulary, int64_t width, const Checker&) {
  using namespace cuda;
  constexpr const char* kName = "ln_embedding_fwd";
  if (is_quantized(table_dtype)) {
    launch_each_row(context, kName,
                    QuantizedForward{static_cast<const ln_quantized*>(table), ids, y, vocabulary, width, table_dtype},
                    tokens, width, false);
  } else {
    launch_each_row(context, kName, Forward{table, ids, y, vocabulary, width, table_dtype}, tokens, width,
                    rows_aligned_to_packs(width, {table, y}));
  }
}

void embedding_bwd(ln_context& context, const float* dy, const int32_t* ids, float* grad_table, int64_t tokens,
                   int64_t vocabulary, int64_t width, const Checker&) {
  cuda::launch_gradients(context, "ln_embedding_bwd", dy, {nullptr, ids, vocabulary, vocabulary}, grad_table, tokens,
                         width);
}

void embedding_rows_fwd(ln_context& context, const float* rows, const int32_t* slots, const int32_t* ids, float* y,
                        int64_t tokens, int64_t vocabulary, int64_t count, int64_t width, const Checker&) {
  using namespace cuda;
  launch_each_row(context, "ln_embedding_rows_fwd", ReplaceRows{rows, slots, ids, y, vocabulary, count, width}, tokens,
                  width, rows_aligned_to_packs(width, {rows, y}));
}

void embedding_rows_bwd(ln_context& context, const float* dy, const int32_t* slots, const int32_t* ids,
                        float* grad_rows, int64_t tokens, int64_t vocabulary, int64_t count, int64_t width,
                        const Checker&) {
  cuda::launch_gradients(context, "ln_embedding_rows_bwd", dy, {slots, ids, vocabulary, count}, grad_rows, tokens,
                         width);
}

}  // namespace ln::backend
