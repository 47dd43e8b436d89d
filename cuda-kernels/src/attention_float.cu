// Attention in float32 on ordinary units, for comparison with the CPU library: the kernels of attention_forward.cu and
// attention_gradient.cu with tiles of 32 rows (16 of heads above 128) and products by fused multiply-add. Bound by
// reads of shared memory: 6 words of 16 bytes for 32 multiply-adds per thread.
//
// Offsets that the CPU library refuses: as attention_forward.cu says.
#include "attention_float.cuh"
#include "attention_passes.hpp"
#include "attention_sequence.cuh"

namespace ln::cuda {

namespace {

template <int D>
__global__ void __launch_bounds__(kFloatThreads, 2) attention_forward_float(ln_attention_args args, int64_t tiles) {
  using Tiles = FloatTiles<D>;
  SIMT_DYN_SMEM(float, shared);
  float *const queries = shared, *const keys = queries + Tiles::kTile, *const values = keys + Tiles::kTile,
               *const exchange = values + Tiles::kTile;
  const int64_t head = blockIdx.x % args.heads, key_head = head / (args.heads / args.key_heads);
  AttentionTile tile;
  if (!find_tile(args, true, Tiles::kRows, tiles - 1 - blockIdx.x / args.heads, tile)) return;
  const AttentionSequence &sequence = tile.sequence;
  if (sequence.queries == 1) return;  // attention_rows.cu
  const int head_dim = static_cast<int>(args.head_dim);
  const int64_t query_stride = args.heads * head_dim, key_stride = args.key_heads * head_dim;
  const int64_t first_query = (int64_t{sequence.first_query} + tile.first) * args.heads + head;
  const int64_t first_key = int64_t{sequence.first_key} * args.key_heads + key_head;
  Tiles::load(queries, args.q + first_query * head_dim, query_stride, tile.rows, head_dim);
  typename Tiles::Sums sums;
  Tiles::clear(sums);
  float largest[Tiles::kTall], total[Tiles::kTall];
#pragma unroll
  for (int i = 0; i < Tiles::kTall; ++i) {
    largest[i] = -INFINITY;
    total[i] = 0;
  }
  const int to = sequence.keys_to(tile.first + tile.rows);
  for (int key = sequence.keys_from(tile.first); key < to; key += Tiles::kRows) {
    __syncthreads();
    const int64_t at = first_key * head_dim + key * key_stride;
    Tiles::load(keys, args.k + at, key_stride, to - key, head_dim);
    Tiles::load(values, args.v + at, key_stride, to - key, head_dim);
    __syncthreads();
    typename Tiles::Scores p;
    Tiles::multiply(p, queries, keys, head_dim);
#pragma unroll
    for (int i = 0; i < Tiles::kTall; ++i) {
      const int query = tile.first + Tiles::y() * Tiles::kTall + i;
      float most = largest[i];
#pragma unroll
      for (int j = 0; j < Tiles::kWide; ++j) {
        p[i][j] = sequence.sees(query, key + Tiles::x() + j * 16) ? p[i][j] * args.scale : -INFINITY;
        most = fmaxf(most, p[i][j]);
      }
      for (int lanes = 8; lanes > 0; lanes /= 2) most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, lanes));
      const float base = most == -INFINITY ? 0.0f : most;
      const float shrink = expf(largest[i] - base);
      largest[i] = most;
      total[i] *= shrink;
#pragma unroll
      for (int j = 0; j < Tiles::kWide; ++j) {
        p[i][j] = expf(p[i][j] - base);
        total[i] += p[i][j];
      }
#pragma unroll
      for (int c = 0; c < Tiles::kQuads; ++c) {
        sums[i][c].x *= shrink;
        sums[i][c].y *= shrink;
        sums[i][c].z *= shrink;
        sums[i][c].w *= shrink;
      }
    }
    Tiles::add_weighted(sums, p, exchange, values);
  }
#pragma unroll
  for (int i = 0; i < Tiles::kTall; ++i) {
    for (int lanes = 8; lanes > 0; lanes /= 2) total[i] += __shfl_xor_sync(kAllLanes, total[i], lanes);
    const int row = Tiles::y() * Tiles::kTall + i;
    if (row >= tile.rows) continue;
    const int64_t query = first_query + row * args.heads;
    Tiles::store(args.o + query * head_dim, sums[i], __fdividef(1.0f, total[i]), head_dim);
    if (Tiles::x() == 0) args.lse[query] = largest[i] + logf(total[i]);
  }
}

template <int D>
__global__ void __launch_bounds__(kFloatThreads, 2)
    attention_query_gradient_float(ln_attention_args args, int64_t tiles) {
  using Tiles = FloatTiles<D>;
  SIMT_DYN_SMEM(float, shared);
  float *const queries = shared, *const douts = queries + Tiles::kTile, *const keys = douts + Tiles::kTile,
               *const values = keys + Tiles::kTile, *const exchange = values + Tiles::kTile;
  const int64_t head = blockIdx.x % args.heads, key_head = head / (args.heads / args.key_heads);
  AttentionTile tile;
  if (!find_tile(args, true, Tiles::kRows, tiles - 1 - blockIdx.x / args.heads, tile)) return;
  const AttentionSequence &sequence = tile.sequence;
  const int head_dim = static_cast<int>(args.head_dim);
  const int64_t query_stride = args.heads * head_dim, key_stride = args.key_heads * head_dim;
  const int64_t first_query = (int64_t{sequence.first_query} + tile.first) * args.heads + head;
  const int64_t first_key = int64_t{sequence.first_key} * args.key_heads + key_head;
  Tiles::load(queries, args.q + first_query * head_dim, query_stride, tile.rows, head_dim);
  Tiles::load(douts, args.dout + first_query * head_dim, query_stride, tile.rows, head_dim);
  typename Tiles::Sums sums;
  Tiles::clear(sums);
  float lse[Tiles::kTall], delta[Tiles::kTall];
#pragma unroll
  for (int i = 0; i < Tiles::kTall; ++i) {
    const int row = Tiles::y() * Tiles::kTall + i;
    lse[i] = row < tile.rows ? args.lse[first_query + row * args.heads] : INFINITY;
    delta[i] = row < tile.rows ? args.delta[first_query + row * args.heads] : 0.0f;
  }
  const int to = sequence.keys_to(tile.first + tile.rows);
  for (int key = sequence.keys_from(tile.first); key < to; key += Tiles::kRows) {
    __syncthreads();
    const int64_t at = first_key * head_dim + key * key_stride;
    Tiles::load(keys, args.k + at, key_stride, to - key, head_dim);
    Tiles::load(values, args.v + at, key_stride, to - key, head_dim);
    __syncthreads();
    typename Tiles::Scores p, ds;
    Tiles::multiply(p, queries, keys, head_dim);
    Tiles::multiply(ds, douts, values, head_dim);
#pragma unroll
    for (int i = 0; i < Tiles::kTall; ++i) {
      const int query = tile.first + Tiles::y() * Tiles::kTall + i;
#pragma unroll
      for (int j = 0; j < Tiles::kWide; ++j) {
        const bool seen = sequence.sees(query, key + Tiles::x() + j * 16);
        ds[i][j] = seen ? expf(p[i][j] * args.scale - lse[i]) * (ds[i][j] - delta[i]) : 0.0f;
      }
    }
    Tiles::add_weighted(sums, ds, exchange, keys);
  }
#pragma unroll
  for (int i = 0; i < Tiles::kTall; ++i) {
    const int row = Tiles::y() * Tiles::kTall + i;
    if (row < tile.rows) {
      Tiles::store(args.dq + (first_query + row * args.heads) * head_dim, sums[i], args.scale, head_dim);
    }
  }
}

template <int D>
__global__ void __launch_bounds__(kFloatThreads, 2) attention_key_gradient_float(ln_attention_args args) {
  using Tiles = FloatTiles<D>;
  SIMT_DYN_SMEM(float, shared);
  float *const keys = shared, *const values = keys + Tiles::kTile, *const queries = values + Tiles::kTile,
               *const douts = queries + Tiles::kTile, *const exchange = douts + Tiles::kTile;
  const int64_t key_head = blockIdx.x % args.key_heads, group = args.heads / args.key_heads;
  AttentionTile tile;
  if (!find_tile(args, false, Tiles::kRows, blockIdx.x / args.key_heads, tile)) return;
  const AttentionSequence &sequence = tile.sequence;
  const int head_dim = static_cast<int>(args.head_dim);
  const int64_t query_stride = args.heads * head_dim, key_stride = args.key_heads * head_dim;
  const int64_t first_key = (int64_t{sequence.first_key} + tile.first) * args.key_heads + key_head;
  Tiles::load(keys, args.k + first_key * head_dim, key_stride, tile.rows, head_dim);
  Tiles::load(values, args.v + first_key * head_dim, key_stride, tile.rows, head_dim);
  typename Tiles::Sums dk, dv;
  Tiles::clear(dk);
  Tiles::clear(dv);
  const int from = sequence.queries_from(tile.first), to = sequence.queries_to(tile.first + tile.rows);
  for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
    for (int first = from; first < to; first += Tiles::kRows) {
      __syncthreads();
      const int64_t row = (int64_t{sequence.first_query} + first) * args.heads + head;
      Tiles::load(queries, args.q + row * head_dim, query_stride, to - first, head_dim);
      Tiles::load(douts, args.dout + row * head_dim, query_stride, to - first, head_dim);
      __syncthreads();
      typename Tiles::Scores p, ds;
      Tiles::multiply(p, keys, queries, head_dim);
      Tiles::multiply(ds, values, douts, head_dim);
#pragma unroll
      for (int j = 0; j < Tiles::kWide; ++j) {
        const int place = Tiles::x() + j * 16, query = first + place;
        const bool exists = query < to;
        const float lse = exists ? args.lse[row + place * args.heads] : 0.0f;
        const float delta = exists ? args.delta[row + place * args.heads] : 0.0f;
#pragma unroll
        for (int i = 0; i < Tiles::kTall; ++i) {
          const bool seen = exists && sequence.sees(query, tile.first + Tiles::y() * Tiles::kTall + i);
          p[i][j] = seen ? expf(p[i][j] * args.scale - lse) : 0.0f;
          ds[i][j] = p[i][j] * (ds[i][j] - delta);
        }
      }
      Tiles::add_weighted(dv, p, exchange, douts);
      Tiles::add_weighted(dk, ds, exchange, queries);
    }
  }
#pragma unroll
  for (int i = 0; i < Tiles::kTall; ++i) {
    const int row = Tiles::y() * Tiles::kTall + i;
    if (row >= tile.rows) continue;
    const int64_t at = (first_key + row * args.key_heads) * head_dim;
    Tiles::store(args.dk + at, dk[i], args.scale, head_dim);
    Tiles::store(args.dv + at, dv[i], 1, head_dim);
  }
}

template <int D>
constexpr size_t shared_bytes(int tiles) {
  return static_cast<size_t>(tiles * FloatTiles<D>::kTile + FloatTiles<D>::kWeights) * sizeof(float);
}

/// Calls body(integral constant) with the columns of tiles, which are whole quads of 16 threads.
template <typename Body>
void with_columns(int64_t head_dim, const Body &body) {
  if (head_dim <= 64) return body(std::integral_constant<int, 64>());
  if (head_dim <= 128) return body(std::integral_constant<int, 128>());
  body(std::integral_constant<int, 256>());
}

}  // namespace

void attention_fwd_float(const ln_context &context, const ln_attention_args &args) {
  with_columns(args.head_dim, [&](auto columns) {
    constexpr int D = columns();
    const int64_t tiles = attention_tiles(args.query_tokens, args.sequences, FloatTiles<D>::kRows);
    launch(context, "ln_attention_fwd", attention_forward_float<D>, static_cast<unsigned>(tiles * args.heads),
           kFloatThreads, shared_bytes<D>(3), args, tiles);
  });
}

void attention_bwd_float(const ln_context &context, const ln_attention_args &args) {
  with_columns(args.head_dim, [&](auto columns) {
    constexpr int D = columns();
    int64_t tiles = attention_tiles(args.key_tokens, args.sequences, FloatTiles<D>::kRows);
    launch(context, "ln_attention_bwd", attention_key_gradient_float<D>, static_cast<unsigned>(tiles * args.key_heads),
           kFloatThreads, shared_bytes<D>(4), args);
    if (args.query_tokens == 0) return;
    tiles = attention_tiles(args.query_tokens, args.sequences, FloatTiles<D>::kRows);
    launch(context, "ln_attention_bwd", attention_query_gradient_float<D>, static_cast<unsigned>(tiles * args.heads),
           kFloatThreads, shared_bytes<D>(4), args, tiles);
  });
}

}  // namespace ln::cuda
