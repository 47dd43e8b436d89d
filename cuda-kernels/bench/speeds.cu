// Times the kernels of liblora_native_cuda on a GPU, at the shapes of Qwen3-30B-A3B, against ceilings measured in the
// same run: copying in device memory, and cuBLAS on the same products where it can be loaded. One line per case.
//   lora_native_cuda_speeds [--quick]     --quick: one repetition of each, to see that everything runs
#include <cmath>
#include <map>
#include <string>
#include <tuple>

#include "memory_bound.hpp"
#include "timing.hpp"

namespace ln::speeds {

namespace {

void copying(int64_t bytes) {
#if !defined(LN_EMULATED)
  Memory memory;
  char* from = memory.of(std::vector<char>(static_cast<size_t>(bytes)));
  char* to = memory.of(std::vector<char>(static_cast<size_t>(bytes)));
  const double seconds = seconds_of(
      [&] { smallest::require(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice)); });
  copy_ceiling = 2.0 * static_cast<double>(bytes) / seconds;
  report("copy in device memory", seconds, 0, 2.0 * static_cast<double>(bytes));
#else
  static_cast<void>(bytes);
#endif
}

void dequantise(ln_context* context, int64_t elements) {
  Memory memory;
  const ln_quantized* weight = nf4(memory, elements);
  void* target = memory.of(std::vector<uint16_t>(static_cast<size_t>(elements)));
  const double seconds =
      seconds_of([&] { require(ln_dequantize(context, weight, LN_NF4, 0, elements, target, LN_BF16), context); });
  report("dequantise NF4 to bfloat16", seconds, 0, static_cast<double>(elements) * (0.5 + 4.0 / 64 + 2));
}

/// Times of cuBLAS by m, n, k, for the layers of the same shapes.
std::map<std::tuple<int64_t, int64_t, int64_t>, double> cublas_seconds;

/// Returns its seconds. With `dequantise` a weight of 4 bits is brought into b each time.
double product(const std::string& who, ln_context* context, int64_t m, int64_t n, int64_t k, bool dequantise = false) {
  Memory memory;
  ln_matmul_args args = {};
  args.a = bf16(memory, m * k);
  const ln_quantized* const weight = dequantise ? nf4(memory, n * k) : nullptr;
  uint16_t* const b = memory.of(std::vector<uint16_t>(static_cast<size_t>(n * k), 0x3c24));
  args.b = b;
  args.c = memory.zeros(m * n);
  args.a_dtype = args.b_dtype = LN_BF16;
  args.m = m;
  args.n = n;
  args.k = k;
  args.lda = args.ldb = k;
  args.ldc = n;
  args.transpose_b = 1;
  args.alpha = 1;
  const Scratch scratch(context, LN_OP_MATMUL, args);
  const double seconds = seconds_of([&] {
    if (dequantise) require(ln_dequantize(context, weight, LN_NF4, 0, n * k, b, LN_BF16), context);
    require(ln_matmul(context, &args), context);
  });
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  report("bf16 product " + who + " " + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k), seconds,
         flops, 0);
  return seconds;
}

/// The ceiling of products, and what layers of these rows are compared with.
void products_by_cublas(ln_context* context, int64_t smaller, int64_t out, int64_t in) {
  const int64_t m = 8192 / smaller, n = 8192 / smaller, k = 4096 / smaller;
  const double seconds = product("cuBLAS, the ceiling,", context, m, n, k);
  product_ceiling = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / seconds;
  for (int64_t rows : {16, 512, 4096}) {  // up to 8 rows are never given to cuBLAS
    const int64_t some = rows / (rows > 8 && smaller > 1 ? 8 : 1);
    cublas_seconds[{some, out, in}] = product("cuBLAS", context, some, out, in);
    product("dequantise, then cuBLAS,", context, some, out, in, true);
  }
}

void linear(ln_context* context, int64_t rows, int64_t out, int64_t in) {
  constexpr int64_t rank = 16;
  Memory memory;
  ln_linear_fwd_args args = {};
  args.x = memory.random(rows * in);
  args.weight = nf4(memory, out * in);
  args.weight_dtype = LN_NF4;
  args.lora_a = memory.random(rank * in);
  args.lora_b = memory.random(out * rank);
  args.u = memory.zeros(rows * rank);
  args.y = memory.zeros(rows * out);
  args.rows = rows;
  args.in = in;
  args.out = out;
  args.rank = rank;
  args.lora_scale = 2;
  const std::string shape = std::to_string(rows) + " rows, " + std::to_string(out) + "x" + std::to_string(in);
  const double flops = 2.0 * static_cast<double>(rows) * static_cast<double>(out) * static_cast<double>(in);
  {
    const Scratch scratch(context, LN_OP_LINEAR_FWD, args);
    const double seconds = seconds_of([&] { require(ln_linear_fwd(context, &args), context); });
    report("NF4 linear + LoRA forward, " + shape, seconds, flops, 0);
    const auto cublas = cublas_seconds.find({rows, out, in});
    if (cublas != cublas_seconds.end()) {
      std::printf("  %.2f of the speed of cuBLAS on a bf16 weight of this shape\n", cublas->second / seconds);
    }
  }
  ln_linear_bwd_args backward = {};
  backward.dy = args.y;
  backward.x = args.x;
  backward.weight = args.weight;
  backward.weight_dtype = LN_NF4;
  backward.lora_a = args.lora_a;
  backward.lora_b = args.lora_b;
  backward.u = args.u;
  backward.v = memory.zeros(rows * rank);
  backward.grad_a = memory.zeros(rank * in);
  backward.grad_b = memory.zeros(out * rank);
  backward.dx = memory.zeros(rows * in);
  backward.rows = rows;
  backward.in = in;
  backward.out = out;
  backward.rank = rank;
  backward.lora_scale = 2;
  const Scratch scratch(context, LN_OP_LINEAR_BWD, backward);
  report("NF4 linear + LoRA backward, " + shape,
         seconds_of([&] { require(ln_linear_bwd(context, &backward), context); }), flops, 0);
}

/// The query, key and value projections: in one call, and in a call each.
void joint(const char* who, ln_context* context, int64_t rows, int64_t queries, int64_t keys, int64_t in) {
  constexpr int64_t rank = 16;
  Memory memory;
  const float* const x = memory.random(rows * in);
  float* const dx = memory.zeros(rows * in);
  std::vector<ln_linear_fwd_args> forward;
  std::vector<ln_linear_bwd_args> backward;
  for (int64_t out : {queries, keys, keys}) {
    ln_linear_fwd_args args = {};
    args.x = x;
    args.weight = nf4(memory, out * in);
    args.weight_dtype = LN_NF4;
    args.lora_a = memory.random(rank * in);
    args.lora_b = memory.random(out * rank);
    args.u = memory.zeros(rows * rank);
    args.y = memory.zeros(rows * out);
    args.rows = rows;
    args.in = in;
    args.out = out;
    args.rank = rank;
    args.lora_scale = 2;
    forward.push_back(args);
    ln_linear_bwd_args gradient = {};
    gradient.dy = memory.random(rows * out);
    gradient.x = x;
    gradient.weight = args.weight;
    gradient.weight_dtype = LN_NF4;
    gradient.lora_a = args.lora_a;
    gradient.lora_b = args.lora_b;
    gradient.u = args.u;
    gradient.v = memory.zeros(rows * rank);
    gradient.grad_a = memory.zeros(rank * in);
    gradient.grad_b = memory.zeros(out * rank);
    gradient.dx = dx;
    gradient.rows = rows;
    gradient.in = in;
    gradient.out = out;
    gradient.rank = rank;
    gradient.lora_scale = 2;
    backward.push_back(gradient);
  }
  const double flops =
      2.0 * static_cast<double>(rows) * static_cast<double>(queries + 2 * keys) * static_cast<double>(in);
  const std::string shape = std::string(" ") + who + ", " + std::to_string(rows) + " rows";
  const ln_joint_linear_fwd_args all = {forward.data(), 3};
  const ln_joint_linear_bwd_args all_backward = {backward.data(), 3};
  {
    const Scratch scratch(context, LN_OP_JOINT_LINEAR_FWD, all);
    report("NF4 q, k, v forward, joint" + shape,
           seconds_of([&] { require(ln_joint_linear_fwd(context, &all), context); }), flops, 0);
  }
  {
    const Scratch scratch(context, LN_OP_LINEAR_FWD, forward[0]);
    report("NF4 q, k, v forward, single" + shape, seconds_of([&] {
             for (const ln_linear_fwd_args& layer : forward) require(ln_linear_fwd(context, &layer), context);
           }),
           flops, 0);
  }
  {
    const Scratch scratch(context, LN_OP_JOINT_LINEAR_BWD, all_backward);
    report("NF4 q, k, v backward, joint" + shape,
           seconds_of([&] { require(ln_joint_linear_bwd(context, &all_backward), context); }), flops, 0);
  }
  // Values mean nothing, times are those of layers that add to dx.
  for (size_t i = 1; i < backward.size(); ++i) backward[i].accumulate = 1;
  const Scratch scratch(context, LN_OP_LINEAR_BWD, backward[0]);
  report("NF4 q, k, v backward, single" + shape, seconds_of([&] {
           for (const ln_linear_bwd_args& layer : backward) require(ln_linear_bwd(context, &layer), context);
         }),
         flops, 0);
}

/// One projection of all experts, rows spread evenly.
void grouped(ln_context* context, int64_t rows, int64_t experts, int64_t out, int64_t in) {
  Memory memory;
  ln_grouped_linear_fwd_args args = {};
  std::vector<const void*> weights;
  std::vector<int32_t> offsets;
  for (int64_t e = 0; e <= experts; ++e) offsets.push_back(static_cast<int32_t>(rows * e / experts));
  for (int64_t e = 0; e < experts; ++e) weights.push_back(nf4(memory, out * in));
  args.x = memory.random(rows * in);
  args.offsets = memory.of(offsets);
  args.weights = memory.table(weights);
  args.weight_dtype = LN_NF4;
  args.y = memory.zeros(rows * out);
  args.rows = rows;
  args.in = in;
  args.out = out;
  args.experts = experts;
  const Scratch scratch(context, LN_OP_GROUPED_LINEAR_FWD, args);
  report("NF4 experts forward, " + std::to_string(rows) + " rows of " + std::to_string(experts) + " experts",
         seconds_of([&] { require(ln_grouped_linear_fwd(context, &args), context); }),
         2.0 * static_cast<double>(rows) * static_cast<double>(out) * static_cast<double>(in), 0);
}

/// The gate and up projections of all experts with the activation behind them, nothing kept.
void gated(ln_context* context, int64_t rows, int64_t experts, int64_t out, int64_t in) {
  Memory memory;
  ln_grouped_gated_fwd_args args = {};
  std::vector<const void*> gate, up;
  std::vector<int32_t> offsets;
  for (int64_t e = 0; e <= experts; ++e) offsets.push_back(static_cast<int32_t>(rows * e / experts));
  for (int64_t e = 0; e < experts; ++e) {
    gate.push_back(nf4(memory, out * in));
    up.push_back(nf4(memory, out * in));
  }
  args.x = memory.random(rows * in);
  args.offsets = memory.of(offsets);
  args.gate_weights = memory.table(gate);
  args.up_weights = memory.table(up);
  args.weight_dtype = LN_NF4;
  args.y = memory.zeros(rows * out);
  args.rows = rows;
  args.in = in;
  args.out = out;
  args.experts = experts;
  const Scratch scratch(context, LN_OP_GROUPED_GATED_FWD, args);
  report(
      "NF4 gate, up and SwiGLU forward, " + std::to_string(rows) + " rows of " + std::to_string(experts) + " experts",
      seconds_of([&] { require(ln_grouped_gated_fwd(context, &args), context); }),
      4.0 * static_cast<double>(rows) * static_cast<double>(out) * static_cast<double>(in), 0);
}

/// The backward pass of the down projection of all experts and of the sum of tokens' rows, without adapters. Values of
/// repeated calls mean nothing: gradients take the place of gate and up.
void down(ln_context* context, int64_t tokens, int64_t top_k, int64_t experts, int64_t out, int64_t in) {
  const int64_t rows = tokens * top_k;
  Memory memory;
  ln_grouped_down_bwd_args args = {};
  std::vector<const void*> weights;
  std::vector<int32_t> offsets, rows_of_pairs;
  for (int64_t e = 0; e <= experts; ++e) offsets.push_back(static_cast<int32_t>(rows * e / experts));
  for (int64_t e = 0; e < experts; ++e) weights.push_back(nf4(memory, out * in));
  for (int64_t pair = 0; pair < rows; ++pair) {
    rows_of_pairs.push_back(static_cast<int32_t>(pair % top_k * tokens + pair / top_k));
  }
  args.dy = memory.random(tokens * out);
  args.rows_of_pairs = memory.of(rows_of_pairs);
  args.scores = memory.random(rows);
  args.dscores = memory.zeros(rows);
  args.offsets = memory.of(offsets);
  args.weights = memory.table(weights);
  args.weight_dtype = LN_NF4;
  args.gate = memory.random(rows * in);
  args.up = memory.random(rows * in);
  args.tokens = tokens;
  args.top_k = top_k;
  args.in = in;
  args.out = out;
  args.experts = experts;
  const Scratch scratch(context, LN_OP_GROUPED_DOWN_BWD, args);
  report("NF4 down, scores and SwiGLU backward, " + std::to_string(rows) + " rows of " + std::to_string(experts) +
             " experts",
         seconds_of([&] { require(ln_grouped_down_bwd(context, &args), context); }),
         2.0 * static_cast<double>(rows) * static_cast<double>(out) * static_cast<double>(in), 0);
}

void attention(ln_context* context, int64_t tokens, int64_t length) {
  constexpr int64_t heads = 32, key_heads = 4, head_dim = 128;
  Memory memory;
  ln_attention_args args = {};
  std::vector<int32_t> offsets;
  for (int64_t t = 0; t <= tokens; t += length) offsets.push_back(static_cast<int32_t>(t));
  args.q = memory.random(tokens * heads * head_dim);
  args.k = memory.random(tokens * key_heads * head_dim);
  args.v = memory.random(tokens * key_heads * head_dim);
  args.o = memory.zeros(tokens * heads * head_dim);
  args.lse = memory.zeros(tokens * heads);
  args.dout = memory.random(tokens * heads * head_dim);
  args.dq = memory.zeros(tokens * heads * head_dim);
  args.dk = memory.zeros(tokens * key_heads * head_dim);
  args.dv = memory.zeros(tokens * key_heads * head_dim);
  args.delta = memory.zeros(tokens * heads);
  args.query_offsets = args.key_offsets = memory.of(offsets);
  args.sequences = static_cast<int64_t>(offsets.size()) - 1;
  args.query_tokens = args.key_tokens = tokens;
  args.heads = heads;
  args.key_heads = key_heads;
  args.head_dim = head_dim;
  args.scale = 1 / std::sqrt(static_cast<float>(head_dim));
  const double flops =
      2.0 * static_cast<double>(heads * head_dim) * static_cast<double>(tokens) * static_cast<double>(length);
  const std::string shape = std::to_string(tokens) + " tokens in sequences of " + std::to_string(length);
  {
    const Scratch scratch(context, LN_OP_ATTENTION_FWD, args);
    report("attention forward, " + shape, seconds_of([&] { require(ln_attention_fwd(context, &args), context); }),
           flops, 0);
  }
  const Scratch scratch(context, LN_OP_ATTENTION_BWD, args);
  report("attention backward, " + shape, seconds_of([&] { require(ln_attention_bwd(context, &args), context); }),
         2.5 * flops, 0);
}

}  // namespace

}  // namespace ln::speeds

int main(int count, char** arguments) {
  using namespace ln::speeds;
  const bool quick = count > 1 && std::string(arguments[1]) == "--quick";
  if (quick) repetitions = 1;
  const Context own(LN_GEMM_OWN), cublas(LN_GEMM_CUBLAS);
  if (!own.exists) ln::smallest::fail(ln_last_error(nullptr));
#if defined(LN_EMULATED)
  const int64_t smaller = 64;  // the emulator is a million times slower
#else
  const int64_t smaller = 1;
#endif
  copying((int64_t{1} << 30) / smaller);
  if (cublas.exists) products_by_cublas(cublas.handle, smaller, 4096 / smaller, 2048 / smaller);
  dequantise(own.handle, (int64_t{1} << 28) / smaller / smaller);
  for (int64_t m : {16, 512, 4096}) {
    product("own", own.handle, m / (smaller > 1 ? 8 : 1), 4096 / smaller, 2048 / smaller);
  }
  for (int64_t rows : {1, 16, 512, 4096})
    linear(own.handle, rows / (rows > 8 && smaller > 1 ? 8 : 1), 4096 / smaller, 2048 / smaller);
  joint("own", own.handle, 8192 / smaller, 4096 / smaller, 512 / smaller, 2048 / smaller);
  if (cublas.exists) joint("cuBLAS", cublas.handle, 8192 / smaller, 4096 / smaller, 512 / smaller, 2048 / smaller);
  grouped(own.handle, 8 * 8192 / smaller / smaller, 128 / (smaller > 1 ? 32 : 1), 768 / (smaller > 1 ? 12 : 1),
          2048 / smaller);
  gated(own.handle, 8 * 8192 / smaller / smaller, 128 / (smaller > 1 ? 32 : 1), 768 / (smaller > 1 ? 12 : 1),
        2048 / smaller);
  down(own.handle, 8192 / smaller / (smaller > 1 ? 8 : 1), 8, 128 / (smaller > 1 ? 32 : 1), 2048 / smaller,
       768 / (smaller > 1 ? 12 : 1));
  attention(own.handle, 8192 / smaller, 4096 / smaller);
  memory_bound(own.handle, smaller > 1);
  return 0;
}
