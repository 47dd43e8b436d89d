// Attention forward on tensor cores (FlashAttention-2, Dao 2023). A block of 4 warps takes a tile of 128 queries (64 of
// heads above 128) of one sequence and head and streams over the keys it sees, 64 at a time: scores, online softmax,
// sums += probabilities . values. Queries are rounded to bfloat16 on their way in; keys and values, which many blocks
// read, were rounded into scratch before. A tile of keys arrives while the values before it are multiplied, a tile of
// values while scores are: one buffer each, so that two blocks share a multiprocessor. Tiles with the most keys come
// first.
//
// Offsets that the CPU library refuses: a sequence that lies outside of the arrays is left out; a query without a key
// gets NaN.
#include "attention_mma.cuh"
#include "attention_passes.hpp"
#include "attention_sequence.cuh"

namespace ln::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kKeys = 64;
constexpr float kLog2e = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;

template <int D>
constexpr int kRowTiles = D <= 128 ? 2 : 1;  // of 16 queries, per warp
template <int D>
constexpr int kQueries = kRowTiles<D> * 16 * (kThreads / kWarp);
template <int D>
constexpr size_t kSharedBytes = (kQueries<D> + 2 * kKeys) * D * sizeof(uint16_t);

struct ForwardPlan {
  int64_t tiles;
  float sign;    // of scale
  float factor;  // |scale| in powers of two, never 0: a hidden score stays -infinity
  bool quads, pairs;
};

/// Largest score and sum of probabilities so far, of the rows l / 4 and l / 4 + 8 of lane l. The sum is the lane's own
/// part.
struct Softmax {
  float largest[2], total[2];

  /// Replaces scores by probabilities relative to the largest so far and brings the sums of values to the same.
  template <int D, int kColumns>
  __device__ __forceinline__ void add(float (&scores)[kColumns / 8][4], float (&sums)[D / 8][4], float factor) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = largest[half];
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) most = fmaxf(most, fmaxf(scores[n][half * 2], scores[n][half * 2 + 1]));
      most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 1));
      most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 2));
      const float base = most == -INFINITY ? 0.0f : most * factor;  // nothing seen yet: every exponential is 0
      const float shrink = simt::exp2_fast(largest[half] * factor - base);
      largest[half] = most;
      float total_here = 0;
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
        for (int e = half * 2; e < half * 2 + 2; ++e) {
          scores[n][e] = simt::exp2_fast(scores[n][e] * factor - base);
          total_here += scores[n][e];
        }
      }
      total[half] = total[half] * shrink + total_here;
#pragma unroll
      for (int n = 0; n < D / 8; ++n) {
        sums[n][half * 2] *= shrink;
        sums[n][half * 2 + 1] *= shrink;
      }
    }
  }
};

template <int D>
__global__ void __launch_bounds__(kThreads)
    attention_forward(ln_attention_args args, AttentionCopies copies, ForwardPlan plan) {
  SIMT_DYN_SMEM(uint16_t, shared);
  uint16_t *const queries = shared, *const keys = queries + kQueries<D> * D, *const values = keys + kKeys * D;
  constexpr int kTiles = kRowTiles<D>;
  const int head = static_cast<int>(blockIdx.x % args.heads);
  const int64_t key_head = head / (args.heads / args.key_heads);
  AttentionTile tile;
  if (!find_tile(args, true, kQueries<D>, plan.tiles - 1 - blockIdx.x / args.heads, tile)) return;
  const AttentionSequence& sequence = tile.sequence;
  if (sequence.queries == 1) return;  // attention_rows.cu
  const int from = sequence.keys_from(tile.first), to = sequence.keys_to(tile.first + tile.rows);
  int64_t at = (key_head * args.key_tokens + sequence.first_key + from) * D;  // of the keys in their copy
  if (from < to) copy_tile<D, kKeys, kThreads>(keys, copies.k + at, to - from);
  simt::cp_async_commit();

  const int head_dim = static_cast<int>(args.head_dim);
  const int64_t first_query = sequence.first_query + tile.first;
  for (int i = static_cast<int>(threadIdx.x); i < kQueries<D> * (D / 8); i += kThreads) {
    const int row = i / (D / 8), piece = i % (D / 8);
    float x[8] = {};
    if (row < tile.rows) {
      load_eight(x, args.q + ((first_query + row) * args.heads + head) * head_dim, piece * 8, head_dim, plan.quads);
    }
#pragma unroll
    for (int e = 0; e < 8; ++e) x[e] *= plan.sign;
    *reinterpret_cast<uint4*>(piece_of<D>(queries, row, piece)) = pack_eight(x);
  }

  const int lane = static_cast<int>(threadIdx.x) % kWarp,
            row_of_warp = static_cast<int>(threadIdx.x) / kWarp * 16 * kTiles;
  const int begin = tile.first + row_of_warp, end = min(begin + 16 * kTiles, tile.first + tile.rows);
  float sums[kTiles][D / 8][4];
  Softmax softmax[kTiles];
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[m][n][e] = 0;
    }
    softmax[m] = {{-INFINITY, -INFINITY}, {0, 0}};
  }

  for (int key = from; key < to; key += kKeys) {
    simt::cp_async_wait<0>();
    __syncthreads();  // the keys are there; the values before are used up
    copy_tile<D, kKeys, kThreads>(values, copies.v + at, to - key);
    simt::cp_async_commit();
    const bool work = begin < end && sequence.any_sees(begin, end, key, key + kKeys);
    uint32_t probabilities[kTiles][kKeys / 16][4];
    if (work) {
      float scores[kTiles][kKeys / 8][4];
      score_tile<D, kTiles, kKeys>(scores, queries, row_of_warp, keys);
      // The last key of a query of the tile is below `to`, so that this hides what lies beyond it too.
      if (!sequence.all_see(begin, begin + 16 * kTiles, key, key + kKeys)) {
#pragma unroll
        for (int m = 0; m < kTiles; ++m) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int back = begin + m * 16 + lane / 4 + half * 8 + sequence.shift - key - lane % 4 * 2;
#pragma unroll
            for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
              for (int e = 0; e < 2; ++e) {
                if (!sequence.sees_back(back - n * 8 - e)) scores[m][n][half * 2 + e] = -INFINITY;
              }
            }
          }
        }
      }
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        softmax[m].template add<D, kKeys>(scores[m], sums[m], plan.factor);
        pack_weights<kKeys>(probabilities[m], scores[m]);
      }
    }
    simt::cp_async_wait<0>();
    __syncthreads();  // the values are there; the keys are used up
    at += kKeys * D;
    if (key + kKeys < to) copy_tile<D, kKeys, kThreads>(keys, copies.k + at, to - key - kKeys);
    simt::cp_async_commit();
    if (work) add_weighted<D, kTiles, kKeys>(sums, probabilities, values);
  }
  simt::cp_async_wait<0>();

#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = softmax[m].total[half];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      const int row = row_of_warp + m * 16 + lane / 4 + half * 8;
      if (row >= tile.rows) continue;
      const float inverse = __fdividef(1.0f, total);
      const int64_t query = (first_query + row) * args.heads + head;
      store_row<D>(args.o + query * head_dim, sums[m], half, inverse, head_dim, plan.pairs);
      if (lane % 4 == 0) args.lse[query] = softmax[m].largest[half] * (plan.factor * kLn2) + logf(total);
    }
  }
}

}  // namespace

void attention_fwd_tensor(const ln_context& context, const ln_attention_args& args, const AttentionCopies& copies) {
  with_padded_head(args.head_dim, [&](auto padded) {
    constexpr int D = padded();
    const ForwardPlan plan = {attention_tiles(args.query_tokens, args.sequences, kQueries<D>),
                              args.scale < 0 ? -1.0f : 1.0f, fmaxf(fabsf(args.scale) * kLog2e, 1e-30f),
                              whole_words(args.q, args.head_dim, 4), whole_words(args.o, args.head_dim, 2)};
    launch(context, "ln_attention_fwd", attention_forward<D>, static_cast<unsigned>(plan.tiles * args.heads), kThreads,
           kSharedBytes<D>, args, copies, plan);
  });
}

}  // namespace ln::cuda
