// Attention by its definition, one query or key at a time; scores are computed anew wherever they are needed.
#include <algorithm>
#include <cmath>

#include "attention.hpp"

namespace ln::cpu::reference {

namespace {

/// Addresses rows of one sequence, query head and the key head behind it.
struct Head {
  const ln_attention_args& args;
  const AttentionSequence sequence;
  const int64_t head, key_head;

  Head(const ln_attention_args& args_in, int64_t sequence_in, int64_t head_in)
      : args(args_in),
        sequence(attention_sequence(args_in, sequence_in)),
        head(head_in),
        key_head(head_in / (args_in.heads / args_in.key_heads)) {}

  int64_t query_row(int64_t i) const { return (sequence.first_query + i) * args.heads + head; }
  int64_t key_row(int64_t j) const { return (sequence.first_key + j) * args.key_heads + key_head; }

  double dot(const float* a, int64_t a_row, const float* b, int64_t b_row) const {
    double total = 0;
    for (int64_t c = 0; c < args.head_dim; ++c)
      total += static_cast<double>(a[a_row * args.head_dim + c]) * b[b_row * args.head_dim + c];
    return total;
  }
  double score(int64_t i, int64_t j) const { return args.scale * dot(args.q, query_row(i), args.k, key_row(j)); }
  double probability(int64_t i, int64_t j) const { return std::exp(score(i, j) - args.lse[query_row(i)]); }
  /// Gradient of scale * q . k
  double score_gradient(int64_t i, int64_t j) const {
    return probability(i, j) * (dot(args.dout, query_row(i), args.v, key_row(j)) - args.delta[query_row(i)]);
  }
};

void add_row(float* to, int64_t to_row, double factor, const float* from, int64_t from_row, int64_t width) {
  for (int64_t c = 0; c < width; ++c) to[to_row * width + c] += static_cast<float>(factor * from[from_row * width + c]);
}

int64_t scratch_floats(int64_t) { return 0; }

void forward(const ln_attention_args& args, const AttentionTile& tile, int64_t head, float*) {
  const Head at(args, tile.sequence, head);
  for (int64_t i = tile.first; i < tile.first + tile.count; ++i) {
    const AttentionSpan keys = attention_keys(at.sequence, i, i + 1);
    double largest = -INFINITY, total = 0;
    for (int64_t j = keys.first; j < keys.last; ++j) largest = std::max(largest, at.score(i, j));
    for (int64_t j = keys.first; j < keys.last; ++j) total += std::exp(at.score(i, j) - largest);
    const int64_t row = at.query_row(i);
    std::fill_n(args.o + row * args.head_dim, args.head_dim, 0.0f);
    for (int64_t j = keys.first; j < keys.last; ++j) {
      add_row(args.o, row, std::exp(at.score(i, j) - largest) / total, args.v, at.key_row(j), args.head_dim);
    }
    args.lse[row] = static_cast<float>(largest + std::log(total));
  }
}

void forward_single(const ln_attention_args& args, int64_t sequence, int64_t key_head, float* scratch) {
  const int64_t group = args.heads / args.key_heads;
  const AttentionTile tile = {static_cast<int32_t>(sequence), 0, 1, 0};
  for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) forward(args, tile, head, scratch);
}

void delta(const ln_attention_args& args, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row) {
    double total = 0;
    for (int64_t c = row * args.head_dim; c < (row + 1) * args.head_dim; ++c)
      total += static_cast<double>(args.dout[c]) * args.o[c];
    args.delta[row] = static_cast<float>(total);
  }
}

void queries(const ln_attention_args& args, const AttentionTile& tile, int64_t head, float*) {
  const Head at(args, tile.sequence, head);
  for (int64_t i = tile.first; i < tile.first + tile.count; ++i) {
    const AttentionSpan keys = attention_keys(at.sequence, i, i + 1);
    const int64_t row = at.query_row(i);
    std::fill_n(args.dq + row * args.head_dim, args.head_dim, 0.0f);
    for (int64_t j = keys.first; j < keys.last; ++j) {
      add_row(args.dq, row, args.scale * at.score_gradient(i, j), args.k, at.key_row(j), args.head_dim);
    }
  }
}

void keys(const ln_attention_args& args, const AttentionTile& tile, int64_t key_head, float*) {
  const int64_t group = args.heads / args.key_heads;
  for (int64_t j = tile.first; j < tile.first + tile.count; ++j) {
    const int64_t row = Head(args, tile.sequence, key_head * group).key_row(j);
    std::fill_n(args.dk + row * args.head_dim, args.head_dim, 0.0f);
    std::fill_n(args.dv + row * args.head_dim, args.head_dim, 0.0f);
    for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
      const Head at(args, tile.sequence, head);
      const AttentionSpan span = attention_queries(at.sequence, j, j + 1);
      for (int64_t i = span.first; i < span.last; ++i) {
        add_row(args.dk, row, args.scale * at.score_gradient(i, j), args.q, at.query_row(i), args.head_dim);
        add_row(args.dv, row, at.probability(i, j), args.dout, at.query_row(i), args.head_dim);
      }
    }
  }
}

void whole(const ln_attention_args& args, int64_t sequence, int64_t key_head, float* scratch) {
  const AttentionSequence s = attention_sequence(args, sequence);
  const int64_t group = args.heads / args.key_heads;
  keys(args, {static_cast<int32_t>(sequence), 0, static_cast<int32_t>(s.keys), 0}, key_head, scratch);
  for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head)
    queries(args, {static_cast<int32_t>(sequence), 0, static_cast<int32_t>(s.queries), 0}, head, scratch);
}

}  // namespace

const AttentionKernels& attention_kernels() {
  static const AttentionKernels kernels = {scratch_floats, forward, forward_single};
  return kernels;
}

const AttentionGradientKernels& attention_gradient_kernels() {
  static const AttentionGradientKernels kernels = {scratch_floats, delta, queries, keys, whole};
  return kernels;
}

}  // namespace ln::cpu::reference
