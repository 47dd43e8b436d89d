// Attention backward on tensor cores, in two kernels that share nothing, so that no sum crosses blocks
// (FlashAttention-2 with a second set of scores in the place of atomics). Both compute the probabilities again from
// lse.
//
//   keys:    a block takes 64 keys of a key head and streams over the queries that see them, head after head of its
//            group: dv += p^T . dout, dk += ds^T . q. The left side of every product are keys, so that p^T and ds^T
//            stay in registers. Two buffers: the next queries arrive while these are multiplied. Of heads above 128 the
//            sums of both gradients do not fit the registers, and dk and dv are kernels of their own.
//   queries: a block takes 64 queries and streams over the keys they see: dq += ds . k. Values arrive while scores are
//            multiplied, keys while the gradients of probabilities are.
#include "attention_mma.cuh"
#include "attention_passes.hpp"
#include "attention_sequence.cuh"

namespace ln::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kOwn = 16 * (kThreads / kWarp);  // rows of a block
constexpr float kLog2e = 1.4426950408889634f;

struct GradientPlan {
  int64_t tiles;
  float scale, factor;  // factor: scale in powers of two
  bool pairs;
};

template <int D>
constexpr int kStreamedKeys = D <= 128 ? 64 : 32;
template <int D>
constexpr int kStreamedQueries = D <= 64    ? 64
                                 : D <= 128 ? 32
                                            : 16;
template <int D>
constexpr size_t kQueriesShared = (2 * kOwn + 2 * kStreamedKeys<D>)*D * sizeof(uint16_t);
template <int D>
constexpr size_t kKeysShared =
    (2 * kOwn + 4 * kStreamedQueries<D>)*D * sizeof(uint16_t) + 4 * kStreamedQueries<D> * sizeof(float);

template <int kRows>
__device__ __forceinline__ void clear(float (&sums)[1][kRows][4]) {
#pragma unroll
  for (int n = 0; n < kRows; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) sums[0][n][e] = 0;
  }
}

template <int D>
__global__ void __launch_bounds__(kThreads, 2)
    attention_query_gradient(ln_attention_args args, AttentionCopies copies, GradientPlan plan) {
  constexpr int kKeys = kStreamedKeys<D>;
  SIMT_DYN_SMEM(uint16_t, shared);
  uint16_t *const queries = shared, *const douts = queries + kOwn * D, *const keys = douts + kOwn * D,
                  *const values = keys + kKeys * D;
  const int head = static_cast<int>(blockIdx.x % args.heads);
  const int64_t key_head = head / (args.heads / args.key_heads);
  AttentionTile tile;
  if (!find_tile(args, true, kOwn, plan.tiles - 1 - blockIdx.x / args.heads, tile)) return;
  const AttentionSequence &sequence = tile.sequence;
  const int from = sequence.keys_from(tile.first), to = sequence.keys_to(tile.first + tile.rows);
  const int64_t first_query = sequence.first_query + tile.first;
  int64_t at = (key_head * args.key_tokens + sequence.first_key + from) * D;  // of the keys in their copy
  copy_tile<D, kOwn, kThreads>(queries, copies.q + (head * args.query_tokens + first_query) * D, tile.rows);
  copy_tile<D, kOwn, kThreads>(douts, copies.dout + (head * args.query_tokens + first_query) * D, tile.rows);
  copy_tile<D, kKeys, kThreads>(values, copies.v + at, to - from);
  simt::cp_async_commit();
  copy_tile<D, kKeys, kThreads>(keys, copies.k + at, to - from);
  simt::cp_async_commit();

  const int lane = static_cast<int>(threadIdx.x) % kWarp, row_of_warp = static_cast<int>(threadIdx.x) / kWarp * 16;
  const int begin = tile.first + row_of_warp, end = min(begin + 16, tile.first + tile.rows);
  float lse[2], delta[2];  // lse in powers of two; infinite: a probability of 0
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = row_of_warp + lane / 4 + half * 8;
    const int64_t query = (first_query + row) * args.heads + head;
    lse[half] = row < tile.rows ? args.lse[query] * kLog2e : INFINITY;
    delta[half] = row < tile.rows ? args.delta[query] : 0;
  }
  float sums[1][D / 8][4];
  clear(sums);
  for (int key = from; key < to; key += kKeys) {
    const bool work = begin < end && sequence.any_sees(begin, end, key, key + kKeys);
    float gradients[1][kKeys / 8][4], scores[1][kKeys / 8][4];
    simt::cp_async_wait<1>();
    __syncthreads();  // the values are there
    if (work) score_tile<D, 1, kKeys>(gradients, douts, row_of_warp, values);
    simt::cp_async_wait<0>();
    __syncthreads();  // the keys are there; the values are used up
    at += kKeys * D;
    const bool more = key + kKeys < to;
    if (more) copy_tile<D, kKeys, kThreads>(values, copies.v + at, to - key - kKeys);
    simt::cp_async_commit();
    if (work) {
      score_tile<D, 1, kKeys>(scores, queries, row_of_warp, keys);
      const bool hides = !sequence.all_see(begin, begin + 16, key, key + kKeys);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int back = begin + lane / 4 + half * 8 + sequence.shift - key - lane % 4 * 2;
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float &ds = gradients[0][n][half * 2 + e];
            const float p = simt::exp2_fast(scores[0][n][half * 2 + e] * plan.factor - lse[half]);
            ds = p * (ds - delta[half]);
            if (hides && !sequence.sees_back(back - n * 8 - e)) ds = 0;
          }
        }
      }
      uint32_t weights[1][kKeys / 16][4];
      pack_weights<kKeys>(weights[0], gradients[0]);
      add_weighted<D, 1, kKeys>(sums, weights, keys);
    }
    __syncthreads();  // the keys are used up
    if (more) copy_tile<D, kKeys, kThreads>(keys, copies.k + at, to - key - kKeys);
    simt::cp_async_commit();
  }
  simt::cp_async_wait<0>();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = row_of_warp + lane / 4 + half * 8;
    if (row >= tile.rows) continue;
    store_row<D>(args.dq + ((first_query + row) * args.heads + head) * args.head_dim, sums[0], half, plan.scale,
                 static_cast<int>(args.head_dim), plan.pairs);
  }
}

/// Sums of a gradient of keys or values, or nothing.
template <int D, bool kPresent>
struct Sums {
  float of[1][D / 8][4];
  __device__ __forceinline__ Sums() { clear(of); }
};
template <int D>
struct Sums<D, false> {};

template <int D, bool kOfKeys, bool kOfValues>
__global__ void __launch_bounds__(kThreads, 2)
    attention_key_gradient(ln_attention_args args, AttentionCopies copies, GradientPlan plan) {
  constexpr int kQueries = kStreamedQueries<D>, kStage = 2 * kQueries * D;
  SIMT_DYN_SMEM(uint16_t, shared);
  uint16_t *const keys = shared, *const values = keys + kOwn * D, *const stages = values + kOwn * D;
  float *const statistics = reinterpret_cast<float *>(stages + 2 * kStage);  // [2 stages][lse, delta][kQueries]
  const int64_t key_head = blockIdx.x % args.key_heads;
  const int group = static_cast<int>(args.heads / args.key_heads);
  AttentionTile tile;
  if (!find_tile(args, false, kOwn, blockIdx.x / args.key_heads, tile)) return;
  const AttentionSequence &sequence = tile.sequence;
  const int from = sequence.queries_from(tile.first), to = sequence.queries_to(tile.first + tile.rows);
  const int64_t first_key = sequence.first_key + tile.first;

  const int thread = static_cast<int>(threadIdx.x);
  int64_t head = key_head * group;
  int query = from;
  // What the thread brings of the statistics of the queries to come: threads [0, kQueries) lse, the next ones delta.
  const auto fetch = [&](int64_t of_head, int first, int stage) {
    const int64_t at = (of_head * args.query_tokens + sequence.first_query + first) * D;
    copy_tile<D, kQueries, kThreads>(stages + stage * kStage, copies.q + at, to - first);
    copy_tile<D, kQueries, kThreads>(stages + stage * kStage + kQueries * D, copies.dout + at, to - first);
    simt::cp_async_commit();
    const int i = first + thread % kQueries;
    const int64_t row = (int64_t{sequence.first_query} + i) * args.heads + of_head;
    if (thread < kQueries) return i < to ? args.lse[row] * kLog2e : INFINITY;  // infinite: a probability of 0
    return thread < 2 * kQueries && i < to ? args.delta[row] : 0.0f;
  };
  copy_tile<D, kOwn, kThreads>(keys, copies.k + (key_head * args.key_tokens + first_key) * D, tile.rows);
  if (kOfKeys) {
    copy_tile<D, kOwn, kThreads>(values, copies.v + (key_head * args.key_tokens + first_key) * D, tile.rows);
  }
  simt::cp_async_commit();
  if (from < to) {
    const float statistic = fetch(head, query, 0);
    if (thread < 2 * kQueries) statistics[thread] = statistic;
  }

  const int lane = thread % kWarp, row_of_warp = thread / kWarp * 16;
  const int begin = tile.first + row_of_warp, end = min(begin + 16, tile.first + tile.rows);
  Sums<D, kOfKeys> dk;
  Sums<D, kOfValues> dv;
  for (int stage = 0; from < to && head < (key_head + 1) * group; stage ^= 1) {
    simt::cp_async_wait<0>();
    __syncthreads();  // these queries are there; the ones before are used up
    const int here = query;
    query += kQueries;
    if (query >= to) {
      query = from;
      ++head;
    }
    const bool more = head < (key_head + 1) * group;
    float statistic = 0;
    if (more) statistic = fetch(head, query, stage ^ 1);
    if (begin < end && sequence.any_sees(here, min(here + kQueries, to), begin, end)) {
      uint16_t *const queries = stages + stage * kStage, *const douts = queries + kQueries * D;
      const float *const lse = statistics + stage * 2 * kQueries + lane % 4 * 2, *const delta = lse + kQueries;
      float p[1][kQueries / 8][4];
      score_tile<D, 1, kQueries>(p, keys, row_of_warp, queries);
      const bool hides = !sequence.all_see(here, here + kQueries, begin, begin + 16);
#pragma unroll
      for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          p[0][n][e] = simt::exp2_fast(p[0][n][e] * plan.factor - lse[n * 8 + e % 2]);
          const int i = here + n * 8 + lane % 4 * 2 + e % 2, j = begin + lane / 4 + e / 2 * 8;
          if (hides && !sequence.sees(i, j)) p[0][n][e] = 0;
        }
      }
      uint32_t weights[1][kQueries / 16][4];
      if constexpr (kOfValues) {
        pack_weights<kQueries>(weights[0], p[0]);
        add_weighted<D, 1, kQueries>(dv.of, weights, douts);
      }
      if constexpr (kOfKeys) {
        float ds[1][kQueries / 8][4];
        score_tile<D, 1, kQueries>(ds, values, row_of_warp, douts);
#pragma unroll
        for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) ds[0][n][e] = p[0][n][e] * (ds[0][n][e] - delta[n * 8 + e % 2]);
        }
        pack_weights<kQueries>(weights[0], ds[0]);
        add_weighted<D, 1, kQueries>(dk.of, weights, queries);
      }
    }
    if (more && thread < 2 * kQueries) statistics[(stage ^ 1) * 2 * kQueries + thread] = statistic;
  }
  simt::cp_async_wait<0>();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = row_of_warp + lane / 4 + half * 8;
    if (row >= tile.rows) continue;
    const int64_t at = ((first_key + row) * args.key_heads + key_head) * args.head_dim;
    const int width = static_cast<int>(args.head_dim);
    if constexpr (kOfKeys) store_row<D>(args.dk + at, dk.of[0], half, plan.scale, width, plan.pairs);
    if constexpr (kOfValues) store_row<D>(args.dv + at, dv.of[0], half, 1.0f, width, plan.pairs);
  }
}

}  // namespace

void attention_bwd_tensor(const ln_context &context, const ln_attention_args &args, const AttentionCopies &copies) {
  with_padded_head(args.head_dim, [&](auto padded) {
    constexpr int D = padded();
    GradientPlan plan = {attention_tiles(args.key_tokens, args.sequences, kOwn), args.scale, args.scale * kLog2e,
                         whole_words(args.dk, args.head_dim, 2) && whole_words(args.dv, args.head_dim, 2)};
    const auto key_gradient = [&](auto kernel) {
      launch(context, "ln_attention_bwd", kernel, static_cast<unsigned>(plan.tiles * args.key_heads), kThreads,
             kKeysShared<D>, args, copies, plan);
    };
    if constexpr (D <= 128) {
      key_gradient(attention_key_gradient<D, true, true>);
    } else {
      key_gradient(attention_key_gradient<D, false, true>);
      key_gradient(attention_key_gradient<D, true, false>);
    }
    if (args.query_tokens == 0) return;
    plan.tiles = attention_tiles(args.query_tokens, args.sequences, kOwn);
    plan.pairs = whole_words(args.dq, args.head_dim, 2);
    launch(context, "ln_attention_bwd", attention_query_gradient<D>, static_cast<unsigned>(plan.tiles * args.heads),
           kThreads, kQueriesShared<D>, args, copies, plan);
  });
}

}  // namespace ln::cuda
