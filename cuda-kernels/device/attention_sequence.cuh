// Geometry of causal attention over packed sequences, and how a block finds its tile of one.
#pragma once

#include "../simt/simt.hpp"
#include "lora_native.h"

namespace ln::cuda {

/// One sequence of a packed batch. Query i stands at position i + shift and sees the keys (i + shift - window, i +
/// shift].
struct AttentionSequence {
  int first_query, queries, first_key, keys, shift, window;

  /// Whether a query sees the key that stands so many positions before it.
  __device__ __forceinline__ bool sees_back(int positions) const {
    return static_cast<unsigned>(positions) < static_cast<unsigned>(window);
  }
  __device__ __forceinline__ bool sees(int query, int key) const { return sees_back(query + shift - key); }
  /// Whether each of the queries [first, last) sees each of the keys [from, to).
  __device__ __forceinline__ bool all_see(int first, int last, int from, int to) const {
    return to - 1 <= first + shift && from > last - 1 + shift - window;
  }
  /// Whether one of the queries [first, last) sees one of the keys [from, to).
  __device__ __forceinline__ bool any_sees(int first, int last, int from, int to) const {
    return from <= last - 1 + shift && to - 1 > first + shift - window;
  }
  /// Keys from the first to the last that one of the queries [first, last) sees.
  __device__ __forceinline__ int keys_from(int first) const { return max(first + shift - window + 1, 0); }
  __device__ __forceinline__ int keys_to(int last) const { return min(last + shift, keys); }
  /// Queries from the first to the last that see one of the keys [from, to); none if `to` is not above `from`.
  __device__ __forceinline__ int queries_from(int from) const { return max(from - shift, 0); }
  __device__ __forceinline__ int queries_to(int to) const { return min(to - 1 + window - shift, queries); }
};

/// Rows [first, first + rows) of a sequence.
struct AttentionTile {
  AttentionSequence sequence;
  int first, rows;
};

/// Blocks that cover every tile of `rows` tokens, whatever the lengths of the sequences: see find_tile.
inline int64_t attention_tiles(int64_t tokens, int64_t sequences, int rows) { return tokens / rows + sequences; }

/// Sequence number `index`; false where offsets point out of the arrays: what the CPU library refuses is left alone.
__device__ __forceinline__ bool read_sequence(const ln_attention_args& args, int64_t index,
                                              AttentionSequence& sequence) {
  const int64_t q0 = args.query_offsets[index], q1 = args.query_offsets[index + 1];
  const int64_t k0 = args.key_offsets[index], k1 = args.key_offsets[index + 1];
  if (q0 < 0 || q1 < q0 || q1 > args.query_tokens || k0 < 0 || k1 < k0 || k1 > args.key_tokens) return false;
  sequence.first_query = static_cast<int>(q0);
  sequence.queries = static_cast<int>(q1 - q0);
  sequence.first_key = static_cast<int>(k0);
  sequence.keys = static_cast<int>(k1 - k0);
  sequence.shift = sequence.keys - sequence.queries;
  sequence.window = args.window == 0 || args.window > sequence.keys ? sequence.keys : static_cast<int>(args.window);
  return true;
}

/// Tile number `index` of queries or keys. Sequence s owns the numbers from offsets[s] / rows + s up to those of s + 1:
/// at least as many as it has tiles, and rising, so that a binary search finds s without a table. False where the
/// number stands for no tile.
__device__ __forceinline__ bool find_tile(const ln_attention_args& args, bool of_queries, int tile_rows, int64_t index,
                                          AttentionTile& tile) {
  const int32_t* offsets = of_queries ? args.query_offsets : args.key_offsets;
  int64_t low = 0, high = args.sequences;  // the sequence is in [low, high)
  if (high == 0) return false;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (offsets[middle] / tile_rows + middle <= index) {
      low = middle;
    } else {
      high = middle;
    }
  }
  if (!read_sequence(args, low, tile.sequence)) return false;
  const int64_t first = (index - (offsets[low] / tile_rows + low)) * tile_rows;
  const int length = of_queries ? tile.sequence.queries : tile.sequence.keys;
  if (first < 0 || first >= length) return false;
  tile.first = static_cast<int>(first);
  tile.rows = min(tile_rows, length - tile.first);
  return true;
}

}  // namespace ln::cuda
