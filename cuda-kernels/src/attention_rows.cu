// Attention a row at a time in float32: heads of any size, and forward passes with one query per sequence (generation),
// where a tile of queries would stay empty. A block takes one row (a query, or in the gradient of keys a key), one head
// and 256 columns of its result. Its 8 warps share out the rows of the other side and stream over them, four at a time
// so that loads overlap; each keeps its own sums, which are added in the order of warps at the end. Scores are computed
// anew for every 256 columns. Bound by bytes where there is one query (k and v are read once per head, from the cache
// but for the first head of a group), else slow.
//
// Offsets that the CPU library refuses: as attention_forward.cu says.
#include "attention_passes.hpp"
#include "attention_sequence.cuh"
#include "reduce.cuh"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kColumns = kThreads;  // of a result, per block
constexpr int kOwned = kColumns / kWarp;
constexpr int kAtOnce = 4;

/// A block's row and columns. Lane l holds columns first_column + l, l + 32, ...
struct Place {
  int lane, warp;
  int64_t first_column, head_dim;

  __device__ __forceinline__ explicit Place(int64_t head_dim_in)
      : lane(static_cast<int>(threadIdx.x) % kWarp),
        warp(static_cast<int>(threadIdx.x) / kWarp),
        first_column(int64_t{blockIdx.y} * kColumns),
        head_dim(head_dim_in) {}

  __device__ __forceinline__ int64_t column(int e) const { return first_column + e * kWarp + lane; }
  __device__ __forceinline__ float element(const float* row, int e) const {
    return column(e) < head_dim ? row[column(e)] : 0.0f;
  }
  /// The lane's part of a . b.
  template <bool kRound>
  __device__ __forceinline__ float part_of_dot(const float* a, const float* b) const;
};

template <bool kRound>
__device__ __forceinline__ float operand(float x) {
  return kRound ? simt::bf16_to_float(simt::float_to_bf16(x)) : x;
}

template <bool kRound>
__device__ __forceinline__ float Place::part_of_dot(const float* a, const float* b) const {
  float dot = 0;
  for (int64_t c = lane; c < head_dim; c += kWarp) dot += operand<kRound>(a[c]) * operand<kRound>(b[c]);
  return dot;
}

/// out[column] = factor * the sum over warps of `sums` times the warp's own factor.
__device__ __forceinline__ void combine_warps(const Place& place, const float (&sums)[kOwned], float own_factor,
                                              float factor, float* out, float (&partial)[kWarps][kColumns]) {
  __syncthreads();
#pragma unroll
  for (int e = 0; e < kOwned; ++e) partial[place.warp][e * kWarp + place.lane] = sums[e] * own_factor;
  __syncthreads();
  const int64_t column = place.first_column + threadIdx.x;
  if (column >= place.head_dim) return;
  float total = 0;
  for (int w = 0; w < kWarps; ++w) total += partial[w][threadIdx.x];
  out[column] = total * factor;
}

/// kSingles: block number / heads is a sequence, of which only those with one query are done. Otherwise it is that of a
/// query, counted as find_tile does.
template <bool kSingles, bool kRound>
__global__ void __launch_bounds__(kThreads, 2) attention_rows(ln_attention_args args) {
  __shared__ float partial[kWarps][kColumns];
  __shared__ float largest_of[kWarps], total_of[kWarps];
  const int64_t head = blockIdx.x % args.heads, key_head = head / (args.heads / args.key_heads);
  AttentionTile tile = {};
  if (kSingles) {
    if (!read_sequence(args, blockIdx.x / args.heads, tile.sequence) || tile.sequence.queries != 1) return;
  } else if (!find_tile(args, true, 1, blockIdx.x / args.heads, tile)) {
    return;
  }
  const AttentionSequence& sequence = tile.sequence;
  const Place place(args.head_dim);
  const int from = sequence.keys_from(tile.first), to = sequence.keys_to(tile.first + 1);
  const int64_t row = (int64_t{sequence.first_query} + tile.first) * args.heads + head;
  const float* const q = args.q + row * args.head_dim;
  const int64_t stride = args.key_heads * args.head_dim;
  const int64_t first = (int64_t{sequence.first_key} * args.key_heads + key_head) * args.head_dim;
  const float *const k = args.k + first, *const v = args.v + first;
  float largest = -INFINITY, total = 0, sums[kOwned] = {};
  for (int key = from + place.warp * kAtOnce; key < to; key += kWarps * kAtOnce) {
    float scores[kAtOnce], most = largest;
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      scores[j] = place.part_of_dot<kRound>(q, k + min(key + j, to - 1) * stride);
    }
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      scores[j] = key + j < to ? warp_sum(scores[j]) * args.scale : -INFINITY;
      most = fmaxf(most, scores[j]);
    }
    const float base = most == -INFINITY ? 0.0f : most;
    const float shrink = expf(largest - base);
    largest = most;
    total *= shrink;
#pragma unroll
    for (int e = 0; e < kOwned; ++e) sums[e] *= shrink;
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const float p = expf(scores[j] - base);
      total += p;
      if (key + j >= to) continue;
#pragma unroll
      for (int e = 0; e < kOwned; ++e) sums[e] += p * operand<kRound>(place.element(v + (key + j) * stride, e));
    }
  }
  if (place.lane == 0) {
    largest_of[place.warp] = largest;
    total_of[place.warp] = total;
  }
  __syncthreads();
  float most = -INFINITY, all = 0;
  for (int w = 0; w < kWarps; ++w) most = fmaxf(most, largest_of[w]);
  const float base = most == -INFINITY ? 0.0f : most;
  for (int w = 0; w < kWarps; ++w) all += total_of[w] * expf(largest_of[w] - base);
  combine_warps(place, sums, expf(largest - base), __fdividef(1.0f, all), args.o + row * args.head_dim, partial);
  if (threadIdx.x == 0 && blockIdx.y == 0) args.lse[row] = most + logf(all);
}

/// The probability of a pair of query and key, and the gradient of its score before scale.
struct Pair {
  float p, ds;

  __device__ __forceinline__ Pair(const Place& place, const ln_attention_args& args, int64_t query_row,
                                  int64_t key_row) {
    const int64_t q = query_row * args.head_dim, k = key_row * args.head_dim;
    const float score = warp_sum(place.part_of_dot<false>(args.q + q, args.k + k)) * args.scale;
    const float dp = warp_sum(place.part_of_dot<false>(args.dout + q, args.v + k));
    p = expf(score - args.lse[query_row]);
    ds = p * (dp - args.delta[query_row]);
  }
};

__global__ void __launch_bounds__(kThreads) attention_query_gradient_rows(ln_attention_args args) {
  __shared__ float partial[kWarps][kColumns];
  const int64_t head = blockIdx.x % args.heads, key_head = head / (args.heads / args.key_heads);
  AttentionTile tile;
  if (!find_tile(args, true, 1, blockIdx.x / args.heads, tile)) return;
  const AttentionSequence& sequence = tile.sequence;
  const Place place(args.head_dim);
  const int to = sequence.keys_to(tile.first + 1);
  const int64_t row = (int64_t{sequence.first_query} + tile.first) * args.heads + head;
  float sums[kOwned] = {};
  for (int key = sequence.keys_from(tile.first) + place.warp; key < to; key += kWarps) {
    const int64_t key_row = (int64_t{sequence.first_key} + key) * args.key_heads + key_head;
    const Pair pair(place, args, row, key_row);
#pragma unroll
    for (int e = 0; e < kOwned; ++e) sums[e] += pair.ds * place.element(args.k + key_row * args.head_dim, e);
  }
  combine_warps(place, sums, 1, args.scale, args.dq + row * args.head_dim, partial);
}

__global__ void __launch_bounds__(kThreads) attention_key_gradient_rows(ln_attention_args args) {
  __shared__ float partial[kWarps][kColumns];
  const int64_t key_head = blockIdx.x % args.key_heads, group = args.heads / args.key_heads;
  AttentionTile tile;
  if (!find_tile(args, false, 1, blockIdx.x / args.key_heads, tile)) return;
  const AttentionSequence& sequence = tile.sequence;
  const Place place(args.head_dim);
  const int from = sequence.queries_from(tile.first), to = sequence.queries_to(tile.first + 1);
  const int64_t key_row = (int64_t{sequence.first_key} + tile.first) * args.key_heads + key_head;
  float dk[kOwned] = {}, dv[kOwned] = {};
  for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
    for (int query = from + place.warp; query < to; query += kWarps) {
      const int64_t row = (int64_t{sequence.first_query} + query) * args.heads + head;
      const Pair pair(place, args, row, key_row);
#pragma unroll
      for (int e = 0; e < kOwned; ++e) {
        dk[e] += pair.ds * place.element(args.q + row * args.head_dim, e);
        dv[e] += pair.p * place.element(args.dout + row * args.head_dim, e);
      }
    }
  }
  combine_warps(place, dk, 1, args.scale, args.dk + key_row * args.head_dim, partial);
  combine_warps(place, dv, 1, 1, args.dv + key_row * args.head_dim, partial);
}

dim3 grid(int64_t rows, int64_t head_dim) {
  return dim3(static_cast<unsigned>(rows), static_cast<unsigned>(ceil_div<int64_t>(head_dim, kColumns)));
}

}  // namespace

void attention_fwd_rows(const ln_context& context, const ln_attention_args& args) {
  const int64_t rows = attention_tiles(args.query_tokens, args.sequences, 1) * args.heads;
  const auto kernel = multiplies_in_bf16(context) && args.head_dim <= kLargestTiledHead ? attention_rows<false, true>
                                                                                        : attention_rows<false, false>;
  launch(context, "ln_attention_fwd", kernel, grid(rows, args.head_dim), kThreads, 0, args);
}

void attention_fwd_singles(const ln_context& context, const ln_attention_args& args) {
  const auto kernel = multiplies_in_bf16(context) ? attention_rows<true, true> : attention_rows<true, false>;
  if (args.sequences == 0) return;
  launch(context, "ln_attention_fwd", kernel, grid(args.sequences * args.heads, args.head_dim), kThreads, 0, args);
}

void attention_bwd_rows(const ln_context& context, const ln_attention_args& args) {
  const int64_t keys = attention_tiles(args.key_tokens, args.sequences, 1) * args.key_heads;
  launch(context, "ln_attention_bwd", attention_key_gradient_rows, grid(keys, args.head_dim), kThreads, 0, args);
  if (args.query_tokens == 0) return;
  const int64_t queries = attention_tiles(args.query_tokens, args.sequences, 1) * args.heads;
  launch(context, "ln_attention_bwd", attention_query_gradient_rows, grid(queries, args.head_dim), kThreads, 0, args);
}

}  // namespace ln::cuda
