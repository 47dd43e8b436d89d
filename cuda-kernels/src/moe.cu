// Moving rows and columns, and adding up what the experts of a token gave. A row belongs to a warp or a block
// (streaming.hpp), in packs of 16 bytes where the rows are aligned. All are bound by bytes: gather and scatter move 8
// per float, the combination of k experts 4 (k + 1) forward and 12 k backward (the gradient of a token stays in L1 for
// its k pairs, which are neighbours). Sums are in the order of the choices; no atomics.
//
// An index outside: gathered and combined rows become NaN; scattered rows and columns are left out.
#include "packs.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

/// A row of NaN where `from` is NULL.
template <bool kRowOfBlock, int kWidth>
__device__ __forceinline__ void copy_row(const float* from, float* to, int64_t width, int lane) {
  for (int64_t c = lane * kWidth; c < width; c += RowWalk<kRowOfBlock>::kLanes * kWidth) {
    Pack<kWidth> pack;
    if (from != nullptr) {
      pack = load_pack<kWidth>(from, c);
    } else {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) pack.at[j] = NAN;
    }
    store_pack<kWidth>(to, c, pack);
  }
}

struct GatherRows {
  const float* x;
  const int32_t* index;
  float* y;
  int64_t source_rows, width;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t r, int lane) const {
    const int64_t from = index[r];
    const bool inside = from >= 0 && from < source_rows;
    copy_row<kRowOfBlock, kWidth>(inside ? x + from * width : nullptr, y + r * width, width, lane);
  }
};

struct ScatterRows {
  const float* x;
  const int32_t* index;
  float* y;
  int64_t target_rows, width;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t r, int lane) const {
    const int64_t to = index[r];
    if (to < 0 || to >= target_rows) return;
    copy_row<kRowOfBlock, kWidth>(x + r * width, y + to * width, width, lane);
  }
};

struct GatherColumns {
  const float* x;
  const int32_t* index;
  float* y;
  int64_t width, count;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t r, int lane) const {
    for (int64_t j = lane; j < count; j += RowWalk<kRowOfBlock>::kLanes) {
      const int64_t from = index[j];
      y[r * count + j] = from >= 0 && from < width ? x[r * width + from] : NAN;
    }
  }
};

struct AddColumns {
  const float* x;
  const int32_t* index;
  float* y;
  int64_t width, count;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t r, int lane) const {
    for (int64_t j = lane; j < count; j += RowWalk<kRowOfBlock>::kLanes) {
      const int64_t to = index[j];
      if (to >= 0 && to < width) y[r * width + to] += x[r * count + j];
    }
  }
};

template <bool kWeighted, bool kAccumulate>
struct CombineForward {
  const float* x;
  const int32_t* rows_of_pairs;
  const float* weights;
  float* y;
  int64_t top_k, pairs, width;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t t, int lane) const {
    for (int64_t c = lane * kWidth; c < width; c += RowWalk<kRowOfBlock>::kLanes * kWidth) {
      Pack<kWidth> total = {};
#pragma unroll 4
      for (int64_t pair = t * top_k; pair < (t + 1) * top_k; ++pair) {
        const int64_t from = rows_of_pairs[pair];
        if (from < 0 || from >= pairs) {
#pragma unroll
          for (int j = 0; j < kWidth; ++j) total.at[j] = NAN;
          continue;
        }
        const Pack<kWidth> value = load_pack<kWidth>(x, from * width + c);
        const float weight = kWeighted ? weights[pair] : 1.0f;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) total.at[j] = fmaf(weight, value.at[j], total.at[j]);
      }
      if constexpr (kAccumulate) {
        const Pack<kWidth> before = load_pack<kWidth>(y, t * width + c);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) total.at[j] += before.at[j];
      }
      store_pack<kWidth>(y, t * width + c, total);
    }
  }
};

/// By pairs: always one warp each, so that no barrier waits between the pairs of a token.
struct CombineBackward {
  const float* dy;
  const float* x;
  const int32_t* rows_of_pairs;
  const float* weights;
  float* dx;
  float* dweights;
  int64_t top_k, pairs, width;

  template <bool kRowOfBlock, int kWidth>
  __device__ __forceinline__ void row(int64_t pair, int lane) const {
    const int64_t at = rows_of_pairs[pair];
    if (at < 0 || at >= pairs) {
      if (lane == 0) dweights[pair] = NAN;
      return;
    }
    const int64_t token = static_cast<int32_t>(pair) / static_cast<int32_t>(top_k);  // both below 2^31
    const float weight = weights[pair];
    float dot = 0;
    for (int64_t c = lane * kWidth; c < width; c += RowWalk<kRowOfBlock>::kLanes * kWidth) {
      Pack<kWidth> gradient = load_pack<kWidth>(dy, token * width + c);
      const Pack<kWidth> value = load_pack<kWidth>(x, at * width + c);  // before dx, which may be x
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        dot = fmaf(gradient.at[j], value.at[j], dot);
        gradient.at[j] *= weight;
      }
      store_pack<kWidth>(dx, at * width + c, gradient);
    }
    dot = warp_sum(dot);
    if (lane == 0) dweights[pair] = dot;
  }
};

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void gather_rows(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t source_rows,
                 int64_t width, const Checker&) {
  using namespace cuda;
  launch_each_row(context, "ln_gather_rows", GatherRows{x, index, y, source_rows, width}, rows, width,
                  rows_aligned_to_packs(width, {x, y}));
}

void scatter_rows(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows,
                  int64_t target_rows, int64_t width, const Checker&) {
  using namespace cuda;
  launch_each_row(context, "ln_scatter_rows", ScatterRows{x, index, y, target_rows, width}, rows, width,
                  rows_aligned_to_packs(width, {x, y}));
}

void gather_columns(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t width,
                    int64_t count, const Checker&) {
  using namespace cuda;
  launch_each_row(context, "ln_gather_columns", GatherColumns{x, index, y, width, count}, rows, count, false);
}

void add_columns(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t width,
                 int64_t count, const Checker&) {
  using namespace cuda;
  launch_each_row(context, "ln_add_columns", AddColumns{x, index, y, width, count}, rows, count, false);
}

void moe_combine_fwd(ln_context& context, const float* x, const int32_t* rows_of_pairs, const float* weights, float* y,
                     int64_t tokens, int64_t top_k, int64_t width, bool accumulate) {
  using namespace cuda;
  const bool in_packs = rows_aligned_to_packs(width, {x, y});
  const auto start = [&](auto combine) {
    launch_each_row(context, "ln_moe_combine_fwd", combine, tokens, width, in_packs);
  };
  const int64_t pairs = tokens * top_k;
  if (weights != nullptr) {
    if (accumulate) return start(CombineForward<true, true>{x, rows_of_pairs, weights, y, top_k, pairs, width});
    return start(CombineForward<true, false>{x, rows_of_pairs, weights, y, top_k, pairs, width});
  }
  if (accumulate) return start(CombineForward<false, true>{x, rows_of_pairs, weights, y, top_k, pairs, width});
  start(CombineForward<false, false>{x, rows_of_pairs, weights, y, top_k, pairs, width});
}

void moe_combine_bwd(ln_context& context, const float* dy, const float* x, const int32_t* rows_of_pairs,
                     const float* weights, float* dx, float* dweights, int64_t tokens, int64_t top_k, int64_t width) {
  using namespace cuda;
  const int64_t pairs = tokens * top_k;
  const CombineBackward combine = {dy, x, rows_of_pairs, weights, dx, dweights, top_k, pairs, width};
  const auto kernel = rows_aligned_to_packs(width, {dy, x, dx}) ? each_row<false, 4, CombineBackward>
                                                                : each_row<false, 1, CombineBackward>;
  launch(context, "ln_moe_combine_bwd", kernel, blocks_for_rows(pairs, false), kRowThreads, 0, combine, pairs);
}

}  // namespace ln::backend
