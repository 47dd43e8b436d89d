// Causal attention of tiles of queries or keys, and the geometry that all versions share.
//
// Forward:  one task per query head and tile of queries; streams over the keys that the tile sees.
// Backward: one task per sequence and key head for dq, dk and dv, which needs every product once. Where that makes too
//           few tasks for the threads, one per query head and tile of queries for dq, one per key head and tile of keys
//           for dk and dv, which compute the probabilities twice. Both give the same bytes: every sum runs over keys,
//           or over heads and queries, in rising order. The probabilities are computed again from lse.
#pragma once

#include <stdint.h>

#include "lora_native.h"
#include "tiers.hpp"

namespace ln::cpu {

/// Queries per tile of queries, keys per tile of keys, and keys or queries that are streamed at a time.
constexpr int64_t kAttentionTile = 64;

/// Queries or keys [first, first + count) of a sequence, number `rank` in the order of work.
struct AttentionTile {
  int32_t sequence, first, count, rank;
};

/// One sequence of a packed batch. Query i stands at position i + shift and sees the keys (i + shift - window, i +
/// shift].
struct AttentionSequence {
  int64_t first_query, queries, first_key, keys, shift, window;
};

struct AttentionSpan {
  int64_t first, last;
};

static inline AttentionSequence attention_sequence(const ln_attention_args& args, int64_t index) {
  AttentionSequence s;
  s.first_query = args.query_offsets[index];
  s.queries = args.query_offsets[index + 1] - s.first_query;
  s.first_key = args.key_offsets[index];
  s.keys = args.key_offsets[index + 1] - s.first_key;
  s.shift = s.keys - s.queries;
  s.window = args.window == 0 || args.window > s.keys ? s.keys : args.window;
  return s;
}

/// Keys that at least one of the queries [first, last) sees.
static inline AttentionSpan attention_keys(const AttentionSequence& s, int64_t first, int64_t last) {
  const int64_t oldest = first + s.shift - s.window + 1;
  return {oldest > 0 ? oldest : 0, last + s.shift};
}

/// Queries that see at least one of the keys [first, last).
static inline AttentionSpan attention_queries(const AttentionSequence& s, int64_t first, int64_t last) {
  const int64_t earliest = first - s.shift, end = last - 1 + s.window - s.shift;
  const AttentionSpan span = {earliest > 0 ? earliest : 0, end < s.queries ? end : s.queries};
  return span.last < span.first ? AttentionSpan{span.first, span.first} : span;
}

struct AttentionKernels {
  /// Scratch of one thread, in floats.
  int64_t (*scratch_floats)(int64_t head_dim);
  /// o and lse of a tile of queries.
  void (*forward)(const ln_attention_args& args, const AttentionTile& tile, int64_t head, float* scratch);
  /// o and lse of a sequence's only query, for all query heads of a key head: generation.
  void (*forward_single)(const ln_attention_args& args, int64_t sequence, int64_t key_head, float* scratch);
};

struct AttentionGradientKernels {
  int64_t (*scratch_floats)(int64_t head_dim);
  /// delta[row] = sum(dout[row,:] * o[row,:]) for rows [first, last) of [query_tokens * heads, head_dim].
  void (*delta)(const ln_attention_args& args, int64_t first, int64_t last);
  /// dq of a tile of queries.
  void (*queries)(const ln_attention_args& args, const AttentionTile& tile, int64_t head, float* scratch);
  /// dk and dv of a tile of keys.
  void (*keys)(const ln_attention_args& args, const AttentionTile& tile, int64_t key_head, float* scratch);
  /// dk and dv of a key head of a sequence, dq of its query heads: the bytes of `queries` and `keys` for all tiles.
  void (*whole)(const ln_attention_args& args, int64_t sequence, int64_t key_head, float* scratch);
};

LN_TIERS(AttentionKernels, attention_kernels)
LN_TIERS(AttentionGradientKernels, attention_gradient_kernels)

}  // namespace ln::cpu
