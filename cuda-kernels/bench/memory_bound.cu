// The kernels that are bound by bytes are held against copying; router and plan, which move little, have their time
// alone. Bytes are those that an op cannot avoid: every input read once, every output written once.
#include <cmath>

#include "memory_bound.hpp"
#include "timing.hpp"

namespace ln::speeds {

namespace {

struct Shape {
  int64_t tokens, width, vocabulary, experts, top_k;
  int64_t elements() const { return tokens * width; }
};

double bytes(int64_t count, double each) { return static_cast<double>(count) * each; }

void norms(ln_context* context, const Shape& shape) {
  Memory memory;
  ln_rmsnorm_fwd_args forward = {};
  forward.x = memory.random(shape.elements());
  forward.weight = memory.random(shape.width);
  forward.y = memory.zeros(shape.elements());
  forward.rstd = memory.zeros(shape.tokens);
  forward.rows = shape.tokens;
  forward.width = shape.width;
  forward.epsilon = 1e-6f;
  report("RMSNorm forward", seconds_of([&] { require(ln_rmsnorm_fwd(context, &forward), context); }), 0,
         bytes(shape.elements(), 8));
  ln_rmsnorm_bwd_args backward = {};
  backward.dy = forward.y;
  backward.z = forward.x;
  backward.weight = forward.weight;
  backward.rstd = forward.rstd;
  backward.dx = memory.zeros(shape.elements());
  backward.rows = shape.tokens;
  backward.width = shape.width;
  report("RMSNorm backward", seconds_of([&] { require(ln_rmsnorm_bwd(context, &backward), context); }), 0,
         bytes(shape.elements(), 12));
}

void rope(ln_context* context, const Shape& shape) {
  constexpr int64_t head_dim = 128;
  Memory memory;
  std::vector<int32_t> positions;
  for (int64_t t = 0; t < shape.tokens; ++t) positions.push_back(static_cast<int32_t>(t));
  ln_rope_args args = {};
  args.x = memory.random(shape.elements());
  args.cosine = memory.random(shape.tokens * head_dim / 2);
  args.sine = memory.random(shape.tokens * head_dim / 2);
  args.positions = memory.of(positions);
  args.tokens = args.table_rows = shape.tokens;
  args.heads = shape.width / head_dim;
  args.head_dim = args.rotary_dim = head_dim;
  report("RoPE", seconds_of([&] { require(ln_rope(context, &args), context); }), 0, bytes(shape.elements(), 8));
}

void elementwise(ln_context* context, const Shape& shape) {
  const int64_t n = shape.elements();
  Memory memory;
  float *const x = memory.random(n), *const gate = memory.random(n), *const up = memory.random(n);
  void* const narrow = memory.of(std::vector<uint16_t>(static_cast<size_t>(n)));
  const auto time = [&](const char* name, double each, const std::function<int32_t()>& op) {
    report(name, seconds_of([&] { require(op(), context); }), 0, bytes(n, each));
  };
  time("SwiGLU forward", 12, [&] { return ln_gated_activation_fwd(context, LN_SILU, gate, up, x, n); });
  time("SwiGLU backward", 20, [&] { return ln_gated_activation_bwd(context, LN_SILU, x, gate, up, gate, up, n); });
  time("addition", 12, [&] { return ln_axpby(context, 1, x, 1, up, n); });
  time("float32 to bfloat16", 6, [&] { return ln_cast(context, x, LN_F32, narrow, LN_BF16, n); });
  time("dropout", 8, [&] { return ln_dropout(context, x, up, n, 0.1f, 7, 3, 0); });
  double* const sum = memory.of(std::vector<double>(1));
  time("sum of squares", 4, [&] { return ln_sum_of_squares(context, x, n, sum); });
}

void optimizers(ln_context* context, const Shape& shape) {
  const int64_t n = shape.elements();
  const auto codes = static_cast<size_t>(n);
  Memory memory;
  float *const parameters = memory.random(n), *const gradients = memory.random(n);
  const ln_adamw_args wide = {parameters, gradients, memory.zeros(n), memory.zeros(n), nullptr, n, 1, 1e-4, 0.9, 0.999,
                              1e-8,       0};
  report("AdamW", seconds_of([&] { require(ln_adamw(context, &wide), context); }), 0, bytes(n, 28));
  const ln_adamw_8bit_args narrow = {parameters,
                                     gradients,
                                     memory.of(std::vector<uint8_t>(codes)),
                                     memory.of(std::vector<uint8_t>(codes)),
                                     memory.zeros((n + 255) / 256),
                                     memory.zeros((n + 255) / 256),
                                     nullptr,
                                     n,
                                     1,
                                     1e-4,
                                     0.9,
                                     0.999,
                                     1e-8,
                                     0};
  report("AdamW, 8 bits", seconds_of([&] { require(ln_adamw_8bit(context, &narrow), context); }), 0,
         bytes(n, 16 + 16.0 / 256));
}

/// Router, plan, and the ways of rows to experts and back.
void mixture(ln_context* context, const Shape& shape) {
  const int64_t pairs = shape.tokens * shape.top_k, logits = shape.tokens * shape.experts;
  const auto count = static_cast<size_t>(pairs);
  Memory memory;
  ln_router_fwd_args router = {};
  router.logits = memory.random(logits);
  router.probabilities = memory.zeros(logits);
  router.ids = memory.of(std::vector<int32_t>(count));
  router.weights = memory.zeros(pairs);
  router.counts = memory.of(std::vector<int64_t>(static_cast<size_t>(shape.experts)));
  router.probability_sums = memory.of(std::vector<double>(static_cast<size_t>(shape.experts)));
  router.tokens = shape.tokens;
  router.experts = shape.experts;
  router.top_k = shape.top_k;
  router.renormalise = 1;
  report("router forward", seconds_of([&] { require(ln_router_fwd(context, &router), context); }), 0, 0);
  ln_router_bwd_args back = {};
  back.probabilities = router.probabilities;
  back.ids = router.ids;
  back.weights = router.weights;
  back.dweights = memory.random(pairs);
  back.dlogits = memory.zeros(logits);
  back.tokens = shape.tokens;
  back.experts = shape.experts;
  back.top_k = shape.top_k;
  back.renormalise = 1;
  report("router backward", seconds_of([&] { require(ln_router_bwd(context, &back), context); }), 0, 0);
  ln_moe_plan_args plan = {};
  plan.ids = router.ids;
  plan.offsets = memory.of(std::vector<int32_t>(static_cast<size_t>(shape.experts + 1)));
  plan.rows_of_pairs = memory.of(std::vector<int32_t>(count));
  plan.tokens_of_rows = memory.of(std::vector<int32_t>(count));
  plan.tokens = shape.tokens;
  plan.experts = shape.experts;
  plan.top_k = shape.top_k;
  {
    const Scratch scratch(context, LN_OP_MOE_PLAN, plan);
    report("plan of experts' rows", seconds_of([&] { require(ln_moe_plan(context, &plan), context); }), 0, 0);
  }
  float *const x = memory.random(shape.elements()), *const rows = memory.zeros(pairs * shape.width);
  const auto time = [&](const char* name, double each, const std::function<int32_t()>& op) {
    report(name, seconds_of([&] { require(op(), context); }), 0, bytes(shape.elements(), each));
  };
  const auto choices = static_cast<double>(shape.top_k);
  time("rows to experts", 4 + 4 * choices,
       [&] { return ln_gather_rows(context, x, plan.tokens_of_rows, rows, pairs, shape.tokens, shape.width); });
  time("rows from experts", 4 + 4 * choices, [&] {
    return ln_moe_combine_fwd(context, rows, plan.rows_of_pairs, router.weights, x, shape.tokens, shape.top_k,
                              shape.width, 0);
  });
  float* const dweights = memory.zeros(pairs);
  time("rows from experts, backward", 4 + 8 * choices, [&] {
    return ln_moe_combine_bwd(context, x, rows, plan.rows_of_pairs, router.weights, rows, dweights, shape.tokens,
                              shape.top_k, shape.width);
  });
}

void ends(ln_context* context, const Shape& shape) {
  Memory memory;
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < shape.tokens; ++t) ids.push_back(static_cast<int32_t>(t * 7919 % shape.vocabulary));
  const int32_t* const tokens = memory.of(ids);
  const void* const table = bf16(memory, shape.vocabulary * shape.width);
  float* const x = memory.zeros(shape.elements());
  report("embedding", seconds_of([&] {
           require(ln_embedding_fwd(context, table, LN_BF16, tokens, x, shape.tokens, shape.vocabulary, shape.width),
                   context);
         }),
         0, bytes(shape.elements(), 6));
  const int64_t rows = shape.tokens / 8;
  float *const logits = memory.zeros(rows * shape.vocabulary), *const losses = memory.zeros(rows);
  report("cross-entropy with gradient", seconds_of([&] {
           require(ln_cross_entropy(context, logits, tokens, losses, rows, shape.vocabulary, 1e-3f, 1), context);
         }),
         0, bytes(rows * shape.vocabulary, 12));
}

void weights(ln_context* context, const Shape& shape) {
  const int64_t n = shape.width * shape.width;
  Memory memory;
  const float* const weight = memory.random(n);
  uint8_t* const codes = memory.of(std::vector<uint8_t>(static_cast<size_t>(n / 2)));
  float* const absmax = memory.zeros(n / 64);
  report("quantise float32 to NF4",
         seconds_of([&] { require(ln_quantize(context, weight, LN_F32, n, LN_NF4, 64, codes, absmax), context); }), 0,
         bytes(n, 4.5 + 4.0 / 64));
  constexpr int64_t rank = 16;
  float* const norms = memory.zeros(shape.width);
  const float *const a = memory.random(rank * shape.width), *const b = memory.random(shape.width * rank);
  report("DoRA's norms of a float32 weight", seconds_of([&] {
           require(ln_dora_norms(context, weight, LN_F32, a, b, 2, norms, shape.width, shape.width, rank), context);
         }),
         0, bytes(n, 4));
}

/// One query of a sequence that is being generated.
void last_query(ln_context* context, const Shape& shape) {
  constexpr int64_t heads = 32, key_heads = 4, head_dim = 128;
  Memory memory;
  ln_attention_args args = {};
  args.q = memory.random(heads * head_dim);
  args.k = memory.random(shape.tokens * key_heads * head_dim);
  args.v = memory.random(shape.tokens * key_heads * head_dim);
  args.o = memory.zeros(heads * head_dim);
  args.lse = memory.zeros(heads);
  args.query_offsets = memory.of(std::vector<int32_t>{0, 1});
  args.key_offsets = memory.of(std::vector<int32_t>{0, static_cast<int32_t>(shape.tokens)});
  args.sequences = args.query_tokens = 1;
  args.key_tokens = shape.tokens;
  args.heads = heads;
  args.key_heads = key_heads;
  args.head_dim = head_dim;
  args.scale = 1 / std::sqrt(static_cast<float>(head_dim));
  const Scratch scratch(context, LN_OP_ATTENTION_FWD, args);
  report("attention of one query", seconds_of([&] { require(ln_attention_fwd(context, &args), context); }), 0,
         bytes(shape.tokens * key_heads * head_dim, 8));
}

}  // namespace

void memory_bound(ln_context* context, bool small) {
  const Shape shape = small ? Shape{64, 256, 512, 8, 2} : Shape{8192, 2048, 151936, 128, 8};
  norms(context, shape);
  rope(context, shape);
  elementwise(context, shape);
  optimizers(context, shape);
  mixture(context, shape);
  ends(context, shape);
  weights(context, shape);
  last_query(context, shape);
}

}  // namespace ln::speeds
