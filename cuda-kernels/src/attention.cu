// Attention: which kernels compute it, and what they share. Products in bfloat16 go by tiles on tensor cores
// (attention_forward.cu, attention_gradient.cu), products in float32 by tiles on the ordinary units
// (attention_float.cu), heads above kLargestTiledHead and forward passes of a sequence's only query (generation) row by
// row (attention_rows.cu). No sum depends on anything but shapes; tiles start at the start of their sequence, so that a
// sequence's results do not depend on what it is packed with.
//
// Here: the copies in bfloat16 that tiles are read from, and delta[row] = sum(dout[row,:] * o[row,:]). Both are bound
// by bytes: 6 per element copied, 4 more with delta.
#include "attention_mma.cuh"
#include "attention_passes.hpp"
#include "reduce.cuh"
#include "scratch.hpp"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kAligned = 16;  // of copies

bool by_rows(const ln_attention_args& args) { return args.head_dim > kLargestTiledHead; }

/// Generation. Only the device knows whether each sequence has one query; where some have none and others more, their
/// rows are right all the same.
bool single_queries(const ln_attention_args& args) { return args.query_tokens <= args.sequences; }

/// Parts of scratch, each a whole number of kAligned bytes.
struct CopyLayout {
  int64_t q, k, total;  // elements of a copy of q or dout, of k or v; bytes of all

  CopyLayout(const ln_attention_args& args, bool backward)
      : q(args.query_tokens * args.heads * padded_head(args.head_dim)),
        k(args.key_tokens * args.key_heads * padded_head(args.head_dim)),
        total(2 * (k + (backward ? q : 0)) * static_cast<int64_t>(sizeof(uint16_t)) + kAligned) {}
};

/// Rows of [tokens, heads, head_dim] into [heads, tokens, D] in bfloat16. With `o`, delta of the rows besides: of the
/// rounded rows, as the gradient of a probability is, so that the gradients of a row of scores add up to 0.
template <int D, bool kDelta>
__global__ void __launch_bounds__(kThreads) round_rows(const float* rows, uint16_t* copy, int64_t tokens, int heads,
                                                       int head_dim, bool quads, const float* o, float* delta) {
  constexpr int kLanes = D <= 32 ? 4 : D <= 64 ? 8 : D <= 128 ? 16 : 32;  // of a row
  const int piece = static_cast<int>(threadIdx.x) % kLanes, place = static_cast<int>(threadIdx.x) / kLanes;
  const int64_t count = tokens * heads, step = int64_t{gridDim.x} * (kThreads / kLanes);
  for (int64_t base = int64_t{blockIdx.x} * (kThreads / kLanes); base < count; base += step) {
    const int64_t row = base + place;
    float dot = 0;
    if (row < count && piece < D / 8) {
      float x[8];
      load_eight(x, rows + row * head_dim, piece * 8, head_dim, quads);
      const int64_t token = row / heads, head = row % heads;
      *reinterpret_cast<uint4*>(copy + (head * tokens + token) * D + piece * 8) = pack_eight(x);
      if (kDelta) {
        float y[8];
        load_eight(y, o + row * head_dim, piece * 8, head_dim, quads);
        for (int e = 0; e < 8; ++e) dot += simt::bf16_to_float(simt::float_to_bf16(x[e])) * y[e];
      }
    }
    if (kDelta) {
      for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) dot += __shfl_xor_sync(kAllLanes, dot, lanes);
      if (row < count && piece == 0) delta[row] = dot;
    }
  }
}

/// delta in float32, a warp for a row.
__global__ void __launch_bounds__(kThreads) row_deltas(ln_attention_args args) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t count = args.query_tokens * args.heads, step = int64_t{gridDim.x} * (kThreads / kWarp);
  for (int64_t row = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp; row < count; row += step) {
    float dot = 0;
    for (int64_t c = lane; c < args.head_dim; c += kWarp) {
      dot += args.dout[row * args.head_dim + c] * args.o[row * args.head_dim + c];
    }
    dot = warp_sum(dot);
    if (lane == 0) args.delta[row] = dot;
  }
}

void round_into(const ln_context& context, const ln_attention_args& args, const float* rows, uint16_t* copy,
                bool queries, bool with_delta) {
  const int64_t tokens = queries ? args.query_tokens : args.key_tokens, heads = queries ? args.heads : args.key_heads;
  if (tokens == 0) return;
  const bool quads = whole_words(rows, args.head_dim, 4) && (!with_delta || whole_words(args.o, args.head_dim, 4));
  with_padded_head(args.head_dim, [&](auto padded) {
    constexpr int D = padded();
    const unsigned blocks = blocks_for(tokens * heads, kThreads / (D <= 32 ? 4 : D / 8));
    if (with_delta) {
      launch(context, "ln_attention_bwd", round_rows<D, true>, blocks, kThreads, 0, rows, copy, tokens, heads,
             args.head_dim, quads, args.o, args.delta);
    } else {
      launch(context, "ln_attention", round_rows<D, false>, blocks, kThreads, 0, rows, copy, tokens, heads,
             args.head_dim, quads, nullptr, nullptr);
    }
  });
}

AttentionCopies copies_in(const ln_context& context, const ln_attention_args& args, const CopyLayout& layout,
                          void* scratch, bool backward) {
  const uintptr_t start = (reinterpret_cast<uintptr_t>(scratch) + kAligned - 1) / kAligned * kAligned;
  AttentionCopies copies = {};
  copies.k = reinterpret_cast<uint16_t*>(start);
  copies.v = copies.k + layout.k;
  copies.q = copies.v + layout.k;
  copies.dout = copies.q + layout.q;
  round_into(context, args, args.k, copies.k, false, false);
  round_into(context, args, args.v, copies.v, false, false);
  if (backward) {
    round_into(context, args, args.q, copies.q, true, false);
    round_into(context, args, args.dout, copies.dout, true, true);
  }
  return copies;
}

}  // namespace

int64_t attention_fwd_scratch(const ln_context& context, const ln_attention_args& args) {
  if (!multiplies_in_bf16(context) || by_rows(args) || single_queries(args)) return 0;
  return CopyLayout(args, false).total;
}

int64_t attention_bwd_scratch(const ln_context& context, const ln_attention_args& args) {
  if (!multiplies_in_bf16(context) || by_rows(args)) return 0;
  return CopyLayout(args, true).total;
}

}  // namespace ln::cuda

namespace ln::backend {

void attention_fwd(ln_context& context, const ln_attention_args& args, const Checker& check) {
  using namespace cuda;
  void* scratch = require_scratch(context, check, attention_fwd_scratch(context, args));
  if (args.query_tokens == 0) return;
  if (by_rows(args) || single_queries(args)) {
    attention_fwd_rows(context, args);
    return;
  }
  attention_fwd_singles(context, args);
  if (multiplies_in_bf16(context)) {
    attention_fwd_tensor(context, args, copies_in(context, args, CopyLayout(args, false), scratch, false));
  } else {
    attention_fwd_float(context, args);
  }
}

void attention_bwd(ln_context& context, const ln_attention_args& args, const Checker& check) {
  using namespace cuda;
  void* scratch = require_scratch(context, check, attention_bwd_scratch(context, args));
  if (args.key_tokens == 0) return;
  if (multiplies_in_bf16(context) && !by_rows(args)) {
    attention_bwd_tensor(context, args, copies_in(context, args, CopyLayout(args, true), scratch, true));
    return;
  }
  if (args.query_tokens > 0) {
    launch(context, "ln_attention_bwd", row_deltas, blocks_for(args.query_tokens * args.heads, kThreads / kWarp),
           kThreads, 0, args);
  }
  if (by_rows(args)) {
    attention_bwd_rows(context, args);
  } else {
    attention_bwd_float(context, args);
  }
}

}  // namespace ln::backend
