#include "cases.hpp"
#include "expert_cases.hpp"
#include "scratch.hpp"
#include "values.hpp"

namespace ln::smallest {

namespace {

int32_t linear_forward(ln_context* context, Memory& memory, int64_t rows, Weight weight) {
  ln_linear_fwd_args args = {};
  args.x = memory.random(rows * kIn);
  args.weight = weight.at;
  args.weight_dtype = weight.dtype;
  args.lora_a = memory.random(kRank * kIn);
  args.lora_b = memory.random(kOut * kRank);
  args.u = memory.zeros(rows * kRank);
  args.y = memory.zeros(rows * kOut);
  args.rows = rows;
  args.in = kIn;
  args.out = kOut;
  args.rank = kRank;
  args.lora_scale = 2;
  const Scratch scratch(context, LN_OP_LINEAR_FWD, args);
  return ln_linear_fwd(context, &args);
}

int32_t linear_backward(ln_context* context, Memory& memory, int64_t rows, Weight weight) {
  ln_linear_bwd_args args = {};
  args.dy = memory.random(rows * kOut);
  args.x = memory.random(rows * kIn);
  args.weight = weight.at;
  args.weight_dtype = weight.dtype;
  args.lora_a = memory.random(kRank * kIn);
  args.lora_b = memory.random(kOut * kRank);
  args.u = memory.random(rows * kRank);
  args.v = memory.zeros(rows * kRank);
  args.grad_a = memory.random(kRank * kIn);
  args.grad_b = memory.random(kOut * kRank);
  args.dx = memory.zeros(rows * kIn);
  args.rows = rows;
  args.in = kIn;
  args.out = kOut;
  args.rank = kRank;
  args.lora_scale = 2;
  const Scratch scratch(context, LN_OP_LINEAR_BWD, args);
  return ln_linear_bwd(context, &args);
}

/// A bfloat16 weight between two of 4 bits, the middle layer without adapter.
constexpr int64_t kJointOuts[] = {70, 24, 40}, kJointRanks[] = {5, 0, 8};

int32_t joint_forward(ln_context* context, Memory& memory, int64_t rows, int64_t in) {
  const float* const x = memory.random(rows * in);
  std::vector<ln_linear_fwd_args> layers(3);
  for (size_t i = 0; i < layers.size(); ++i) {
    ln_linear_fwd_args& layer = layers[i];
    layer.rows = rows;
    layer.in = in;
    layer.out = kJointOuts[i];
    layer.rank = kJointRanks[i];
    const Weight weight = i == 1 ? bfloat16(memory, layer.out * in) : quantized(memory, layer.out * in);
    layer.x = x;
    layer.weight = weight.at;
    layer.weight_dtype = weight.dtype;
    layer.y = memory.zeros(rows * layer.out);
    layer.lora_scale = 2;
    if (layer.rank == 0) continue;
    layer.lora_a = memory.random(layer.rank * in);
    layer.lora_b = memory.random(layer.out * layer.rank);
    layer.u = memory.zeros(rows * layer.rank);
  }
  const ln_joint_linear_fwd_args args = {layers.data(), 3};
  const Scratch scratch(context, LN_OP_JOINT_LINEAR_FWD, args);
  return ln_joint_linear_fwd(context, &args);
}

int32_t joint_backward(ln_context* context, Memory& memory, int64_t rows, int64_t in) {
  const float* const x = memory.random(rows * in);
  float* const dx = memory.zeros(rows * in);
  std::vector<ln_linear_bwd_args> layers(3);
  for (size_t i = 0; i < layers.size(); ++i) {
    ln_linear_bwd_args& layer = layers[i];
    layer.rows = rows;
    layer.in = in;
    layer.out = kJointOuts[i];
    layer.rank = kJointRanks[i];
    const Weight weight = i == 1 ? bfloat16(memory, layer.out * in) : quantized(memory, layer.out * in);
    layer.dy = memory.random(rows * layer.out);
    layer.x = x;
    layer.weight = weight.at;
    layer.weight_dtype = weight.dtype;
    layer.dx = dx;
    layer.lora_scale = 2;
    if (layer.rank == 0) continue;
    layer.lora_a = memory.random(layer.rank * in);
    layer.lora_b = memory.random(layer.out * layer.rank);
    layer.u = memory.random(rows * layer.rank);
    layer.v = memory.zeros(rows * layer.rank);
    layer.grad_a = memory.random(layer.rank * in);
    layer.grad_b = memory.random(layer.out * layer.rank);
  }
  const ln_joint_linear_bwd_args args = {layers.data(), 3};
  const Scratch scratch(context, LN_OP_JOINT_LINEAR_BWD, args);
  return ln_joint_linear_bwd(context, &args);
}

int32_t matmul(ln_context* context, Memory& memory, int64_t m, int64_t n, int64_t k) {
  ln_matmul_args args = {};
  args.a = memory.random(m * k);
  args.b = memory.random(n * k);
  args.c = memory.random(m * n);
  args.m = m;
  args.n = n;
  args.k = k;
  args.lda = args.ldb = k;
  args.ldc = n;
  args.transpose_b = 1;
  args.alpha = 0.5f;
  args.beta = 1;
  const Scratch scratch(context, LN_OP_MATMUL, args);
  return ln_matmul(context, &args);
}

ln_attention_args attention_args(Memory& memory, int64_t head_dim) {
  constexpr int64_t heads = 2, key_heads = 1, tokens = 67;
  ln_attention_args args = {};
  args.q = memory.random(tokens * heads * head_dim);
  args.k = memory.random(tokens * key_heads * head_dim);
  args.v = memory.random(tokens * key_heads * head_dim);
  args.o = memory.zeros(tokens * heads * head_dim);
  args.lse = memory.zeros(tokens * heads);
  args.query_offsets = args.key_offsets = memory.of(std::vector<int32_t>{0, 1, 67});
  args.sequences = 2;
  args.query_tokens = args.key_tokens = tokens;
  args.heads = heads;
  args.key_heads = key_heads;
  args.head_dim = head_dim;
  args.window = 40;
  args.scale = 0.125f;
  return args;
}

int32_t attention_forward(ln_context* context, Memory& memory, int64_t head_dim) {
  const ln_attention_args args = attention_args(memory, head_dim);
  const Scratch scratch(context, LN_OP_ATTENTION_FWD, args);
  return ln_attention_fwd(context, &args);
}

int32_t attention_backward(ln_context* context, Memory& memory, int64_t head_dim) {
  ln_attention_args args = attention_args(memory, head_dim);
  const int64_t queries = args.query_tokens * args.heads * head_dim, keys = args.key_tokens * args.key_heads * head_dim;
  args.dout = memory.random(queries);
  args.dq = memory.zeros(queries);
  args.dk = memory.zeros(keys);
  args.dv = memory.zeros(keys);
  args.delta = memory.zeros(args.query_tokens * args.heads);
  {
    const Scratch scratch(context, LN_OP_ATTENTION_FWD, args);
    const int32_t status = ln_attention_fwd(context, &args);
    if (status != LN_OK) return status;
  }
  const Scratch scratch(context, LN_OP_ATTENTION_BWD, args);
  return ln_attention_bwd(context, &args);
}

int32_t embedding(ln_context* context, Memory& memory) {
  constexpr int64_t vocabulary = 11, width = 40;
  const int32_t* ids = memory.of(numbers(kTokens, vocabulary));
  const int32_t* slots = memory.of(std::vector<int32_t>{-1, 0, -1, 1, -1, -1, -1, -1, -1, -1, -1});
  const Weight table = quantized(memory, vocabulary * width);
  float* y = memory.zeros(kTokens * width);
  float* rows = memory.random(2 * width);
  int32_t status = ln_embedding_fwd(context, table.at, table.dtype, ids, y, kTokens, vocabulary, width);
  if (status != LN_OK) return status;
  status = ln_embedding_bwd(context, y, ids, memory.zeros(vocabulary * width), kTokens, vocabulary, width);
  if (status != LN_OK) return status;
  status = ln_embedding_rows_fwd(context, rows, slots, ids, y, kTokens, vocabulary, 2, width);
  if (status != LN_OK) return status;
  return ln_embedding_rows_bwd(context, y, slots, ids, rows, kTokens, vocabulary, 2, width);
}

int32_t norm(ln_context* context, Memory& memory, int64_t width) {
  ln_rmsnorm_fwd_args args = {};
  const float* weight = memory.random(width);
  float* z = memory.zeros(kRows * width);
  float* rstd = memory.zeros(kRows);
  args.x = memory.random(kRows * width);
  args.residual = memory.random(kRows * width);
  args.weight = weight;
  args.sum = z;
  args.y = memory.zeros(kRows * width);
  args.rstd = rstd;
  args.rows = kRows;
  args.width = width;
  args.epsilon = 1e-6f;
  const int32_t status = ln_rmsnorm_fwd(context, &args);
  if (status != LN_OK) return status;
  ln_rmsnorm_bwd_args backward = {};
  backward.dy = memory.random(kRows * width);
  backward.z = z;
  backward.weight = weight;
  backward.rstd = rstd;
  backward.dx = memory.zeros(kRows * width);
  backward.grad_weight = memory.zeros(width);
  backward.rows = kRows;
  backward.width = width;
  return ln_rmsnorm_bwd(context, &backward);
}

int32_t rope(ln_context* context, Memory& memory) {
  ln_rope_args args = {};
  args.x = memory.random(kTokens * 2 * 12);
  args.cosine = memory.random(kTokens * 4);
  args.sine = memory.random(kTokens * 4);
  args.positions = memory.of(numbers(kTokens, kTokens));
  args.tokens = args.table_rows = kTokens;
  args.heads = 2;
  args.head_dim = 12;
  args.rotary_dim = 8;
  return ln_rope(context, &args);
}

int32_t elementwise(ln_context* context, Memory& memory) {
  constexpr int64_t n = 1030, width = 103, rows = 10;
  float *a = memory.random(n), *b = memory.random(n), *c = memory.random(n);
  float* gates = memory.random(rows);
  uint16_t* narrow = memory.of(std::vector<uint16_t>(n));
  int32_t status = LN_OK;
  for (int32_t activation : {LN_SILU, LN_GELU_TANH, LN_GELU_ERF}) {
    if ((status = ln_gated_activation_fwd(context, activation, a, b, c, n)) != LN_OK) return status;
    if ((status = ln_gated_activation_bwd(context, activation, c, a, b, a, b, n)) != LN_OK) return status;
  }
  if ((status = ln_sigmoid_gate_fwd(context, a, gates, b, rows, width, 1)) != LN_OK) return status;
  if ((status = ln_sigmoid_gate_bwd(context, b, a, gates, c, memory.zeros(rows), rows, width)) != LN_OK) return status;
  if ((status = ln_axpby(context, 2, a, 3, b, n)) != LN_OK) return status;
  if ((status = ln_cast(context, a, LN_F32, narrow, LN_F16, n)) != LN_OK) return status;
  if ((status = ln_clamp_fwd(context, a, n, 0.5f)) != LN_OK) return status;
  if ((status = ln_clamp_bwd(context, a, b, n, 0.5f)) != LN_OK) return status;
  return ln_dropout(context, a, b, n, 0.25f, 7, 3, 1);
}

int32_t reductions(ln_context* context, Memory& memory) {
  constexpr int64_t n = 5000;
  const float* x = memory.random(n);
  double* results = memory.of(std::vector<double>(2));
  int32_t status = ln_sum(context, x, n, results);
  if (status != LN_OK) return status;
  if ((status = ln_sum_of_squares(context, x, n, results + 1)) != LN_OK) return status;
  if ((status = ln_column_sums(context, x, memory.zeros(100), 50, 100)) != LN_OK) return status;
  float* scale = memory.zeros(1);
  if ((status = ln_gradient_scale(context, results, 2, 1, scale)) != LN_OK) return status;
  ln_adamw_args args = {
      memory.random(n), x, memory.zeros(n), memory.zeros(n), scale, n, 1, 1e-3, 0.9, 0.999, 1e-8, 0.01};
  if ((status = ln_adamw(context, &args)) != LN_OK) return status;
  const auto codes = [&] { return memory.of(std::vector<uint8_t>(n)); };
  const ln_adamw_8bit_args narrow = {memory.random(n),
                                     x,
                                     codes(),
                                     codes(),
                                     memory.zeros(20),
                                     memory.zeros(20),
                                     scale,
                                     n,
                                     1,
                                     1e-3,
                                     0.9,
                                     0.999,
                                     1e-8,
                                     0.01};
  return ln_adamw_8bit(context, &narrow);
}

int32_t cross_entropy(ln_context* context, Memory& memory) {
  constexpr int64_t rows = 5, vocabulary = 515;
  const int32_t* labels = memory.of(std::vector<int32_t>{3, -100, 514, 0, 7});
  return ln_cross_entropy(context, memory.random(rows * vocabulary), labels, memory.zeros(rows), rows, vocabulary, 0.5f,
                          1);
}

int32_t quantisation(ln_context* context, Memory& memory) {
  constexpr int64_t n = 1000;
  uint8_t* codes = memory.of(std::vector<uint8_t>(n / 2));
  float* absmax = memory.zeros((n + 63) / 64);
  const float* x = memory.random(n);
  int32_t status = LN_OK;
  for (int32_t type : {LN_NF4, LN_FP4}) {
    if ((status = ln_quantize(context, x, LN_F32, n, type, 64, codes, absmax)) != LN_OK) return status;
  }
  std::vector<float> code(256);
  for (int i = 0; i < 256; ++i) code[i] = static_cast<float>(i - 128) / 128;
  status = ln_quantize_absmax(context, absmax, (n + 63) / 64, 256, memory.of(code),
                              memory.of(std::vector<uint8_t>((n + 63) / 64)), memory.zeros(1), memory.zeros(1));
  if (status != LN_OK) return status;
  const Weight weight = quantized(memory, n);
  return ln_dequantize(context, static_cast<const ln_quantized*>(weight.at), weight.dtype, 1, n - 2, memory.zeros(n),
                       LN_F32);
}

int32_t dora(ln_context* context, Memory& memory) {
  const Weight weight = bfloat16(memory, kOut * kIn);
  float* norms = memory.zeros(kOut);
  float* z = memory.random(kRows * kOut);
  const float* magnitude = memory.random(kOut);
  int32_t status = ln_dora_norms(context, weight.at, weight.dtype, memory.random(kRank * kIn),
                                 memory.random(kOut * kRank), 2, norms, kOut, kIn, kRank);
  if (status != LN_OK) return status;
  const ln_dora_fwd_args forward = {z, magnitude, norms, nullptr, memory.zeros(kRows * kOut), kRows, kOut, LN_F32, 0};
  if ((status = ln_dora_fwd(context, &forward)) != LN_OK) return status;
  const ln_dora_bwd_args backward = {forward.y,          z,     magnitude, norms, memory.zeros(kRows * kOut),
                                     memory.zeros(kOut), kRows, kOut};
  return ln_dora_bwd(context, &backward);
}

}  // namespace

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"matmul", true, [](ln_context* c, Memory& m) { return matmul(c, m, kRows, kOut, kIn); }},
      {"matmul in slices", true, [](ln_context* c, Memory& m) { return matmul(c, m, 20, 24, 1000); }},
      {"matmul through scratch", true, [](ln_context* c, Memory& m) { return matmul(c, m, 260, 132, 136); }},
      {"linear forward bf16", true,
       [](ln_context* c, Memory& m) { return linear_forward(c, m, kRows, bfloat16(m, kOut * kIn)); }},
      {"linear forward nf4", true,
       [](ln_context* c, Memory& m) { return linear_forward(c, m, kRows, quantized(m, kOut * kIn)); }},
      {"linear forward nf4, 2 rows", true,
       [](ln_context* c, Memory& m) { return linear_forward(c, m, 2, quantized(m, kOut * kIn)); }},
      {"linear backward bf16", true,
       [](ln_context* c, Memory& m) { return linear_backward(c, m, kRows, bfloat16(m, kOut * kIn)); }},
      {"linear backward nf4", true,
       [](ln_context* c, Memory& m) { return linear_backward(c, m, kRows, quantized(m, kOut * kIn)); }},
      {"joint forward", true, [](ln_context* c, Memory& m) { return joint_forward(c, m, kRows, kIn); }},
      {"joint forward, many rows", true, [](ln_context* c, Memory& m) { return joint_forward(c, m, 260, 136); }},
      {"joint backward", true, [](ln_context* c, Memory& m) { return joint_backward(c, m, kRows, kIn); }},
      {"joint backward, many rows", true, [](ln_context* c, Memory& m) { return joint_backward(c, m, 260, 136); }},
      {"grouped forward", true, grouped_forward},
      {"grouped backward", true, grouped_backward},
      {"gated experts forward", true, gated_forward},
      {"gated experts backward", true, gated_backward},
      {"experts' down backward", true, [](ln_context* c, Memory& m) { return down_backward(c, m, kTokens); }},
      {"experts' down, many rows", true, [](ln_context* c, Memory& m) { return down_backward(c, m, 516); }},
      {"dora", false, dora},
      {"attention forward 64", true, [](ln_context* c, Memory& m) { return attention_forward(c, m, 64); }},
      {"attention forward 20", true, [](ln_context* c, Memory& m) { return attention_forward(c, m, 20); }},
      {"attention backward 64", true, [](ln_context* c, Memory& m) { return attention_backward(c, m, 64); }},
      {"attention backward 20", true, [](ln_context* c, Memory& m) { return attention_backward(c, m, 20); }},
      {"norm, narrow", false, [](ln_context* c, Memory& m) { return norm(c, m, 40); }},
      {"norm, wide", false, [](ln_context* c, Memory& m) { return norm(c, m, 1100); }},
      {"rope", false, rope},
      {"mixture of experts", false, mixture},
      {"embedding", false, embedding},
      {"elementwise", false, elementwise},
      {"reductions and adamw", false, reductions},
      {"cross entropy", false, cross_entropy},
      {"quantisation", false, quantisation},
  };
  return all;
}

}  // namespace ln::smallest
