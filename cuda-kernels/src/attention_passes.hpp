// The ways to compute attention, chosen in attention.cu by precision and size of a head.
#pragma once

#include "cuda_backend.hpp"

namespace ln::cuda {

/// Longer heads go by the rows of attention_rows.cu, in float32.
constexpr int64_t kLargestTiledHead = 256;

/// Elements of a head as tiles hold it: the sizes that kernels are compiled for.
inline int padded_head(int64_t head_dim) {
  return head_dim <= 32 ? 32 : head_dim <= 64 ? 64 : head_dim <= 96 ? 96 : head_dim <= 128 ? 128 : 256;
}

/// Calls body(integral constant) with the padded size of the head.
template <typename Body>
void with_padded_head(int64_t head_dim, const Body& body) {
  switch (padded_head(head_dim)) {
    case 32:
      return body(std::integral_constant<int, 32>());
    case 64:
      return body(std::integral_constant<int, 64>());
    case 96:
      return body(std::integral_constant<int, 96>());
    case 128:
      return body(std::integral_constant<int, 128>());
    default:
      return body(std::integral_constant<int, 256>());
  }
}

/// Arrays in bfloat16 and head after head, [heads or key_heads, tokens, padded head], zeros beyond head_dim: tiles are
/// then copied 16 bytes at a time, whatever head_dim and the alignment of the arguments.
struct AttentionCopies {
  uint16_t *q, *dout;  // of the backward pass alone
  uint16_t *k, *v;
};

/// Tensor cores on bfloat16. As attention_fwd_float, this leaves sequences with one query to attention_fwd_singles.
void attention_fwd_tensor(const ln_context& context, const ln_attention_args& args, const AttentionCopies& copies);
/// delta is there already.
void attention_bwd_tensor(const ln_context& context, const ln_attention_args& args, const AttentionCopies& copies);

/// Tiles in float32, of heads up to kLargestTiledHead.
void attention_fwd_float(const ln_context& context, const ln_attention_args& args);
void attention_bwd_float(const ln_context& context, const ln_attention_args& args);

/// Sequences with one query: a query row at a time in float32, of operands rounded to bfloat16 where the context
/// multiplies in it, so that the backward pass finds the same scores.
void attention_fwd_singles(const ln_context& context, const ln_attention_args& args);

/// A row at a time in float32, of heads of any size.
void attention_fwd_rows(const ln_context& context, const ln_attention_args& args);
void attention_bwd_rows(const ln_context& context, const ln_attention_args& args);

/// Whether rows of [tokens, heads, head_dim] at `array` may be read or written `floats` at a time.
inline bool whole_words(const void* array, int64_t head_dim, int64_t floats) {
  return head_dim % floats == 0 && reinterpret_cast<uintptr_t>(array) % (static_cast<uintptr_t>(floats) * 4) == 0;
}

}  // namespace ln::cuda
