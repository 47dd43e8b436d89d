#include "expert_cases.hpp"
#include "scratch.hpp"
#include "values.hpp"

namespace ln::smallest {

namespace {

/// Tables for experts, one of which has no rows.
template <typename Args>
void experts(Memory& memory, Args& args, int64_t rows) {
  std::vector<const void*> weights;
  std::vector<const float*> as, bs;
  for (int64_t e = 0; e < kExperts; ++e) {
    const Weight weight = quantized(memory, kOut * kIn);
    weights.push_back(weight.at);
    args.weight_dtype = weight.dtype;
    as.push_back(memory.random(kRank * kIn));
    bs.push_back(memory.random(kOut * kRank));
  }
  const int32_t middle = static_cast<int32_t>(rows / 3);
  args.offsets =
      memory.of(std::vector<int32_t>{0, middle, middle, static_cast<int32_t>(rows - 1), static_cast<int32_t>(rows)});
  args.weights = memory.table(weights);
  args.lora_a = memory.table(as);
  args.lora_b = memory.table(bs);
  args.ranks = memory.of(std::vector<int32_t>{kRank, kRank, 0, 3});
  args.scales = memory.of(std::vector<float>{1, 2, 3, 4});
  args.rows = rows;
  args.in = kIn;
  args.out = kOut;
  args.experts = kExperts;
  args.max_rank = kRank;
}

}  // namespace

int32_t grouped_forward(ln_context* context, Memory& memory) {
  ln_grouped_linear_fwd_args args = {};
  experts(memory, args, kRows);
  args.x = memory.random(kRows * kIn);
  args.u = memory.zeros(kRows * kRank);
  args.y = memory.zeros(kRows * kOut);
  const Scratch scratch(context, LN_OP_GROUPED_LINEAR_FWD, args);
  return ln_grouped_linear_fwd(context, &args);
}

int32_t grouped_backward(ln_context* context, Memory& memory) {
  ln_grouped_linear_bwd_args args = {};
  experts(memory, args, kRows);
  args.dy = memory.random(kRows * kOut);
  args.x = memory.random(kRows * kIn);
  args.u = memory.random(kRows * kRank);
  args.v = memory.zeros(kRows * kRank);
  std::vector<float*> grad_a, grad_b;
  for (int64_t e = 0; e < kExperts; ++e) {
    grad_a.push_back(memory.random(kRank * kIn));
    grad_b.push_back(memory.random(kOut * kRank));
  }
  args.grad_a = memory.table(grad_a);
  args.grad_b = memory.table(grad_b);
  args.dx = memory.zeros(kRows * kIn);
  const Scratch scratch(context, LN_OP_GROUPED_LINEAR_BWD, args);
  return ln_grouped_linear_bwd(context, &args);
}

namespace {

/// Two grouped layers' tables as the sides of a pair.
template <typename Args, typename Layer>
void sides(Args& args, const Layer& gate, const Layer& up) {
  args.gate_weights = gate.weights;
  args.gate_lora_a = gate.lora_a;
  args.gate_lora_b = gate.lora_b;
  args.gate_ranks = gate.ranks;
  args.gate_scales = gate.scales;
  args.gate_max_rank = gate.max_rank;
  args.up_weights = up.weights;
  args.up_lora_a = up.lora_a;
  args.up_lora_b = up.lora_b;
  args.up_ranks = up.ranks;
  args.up_scales = up.scales;
  args.up_max_rank = up.max_rank;
  args.offsets = gate.offsets;
  args.rows = gate.rows;
  args.in = gate.in;
  args.out = gate.out;
  args.experts = gate.experts;
  args.weight_dtype = gate.weight_dtype;
  args.activation = LN_SILU;
}

}  // namespace

int32_t gated_forward(ln_context* context, Memory& memory) {
  ln_grouped_linear_fwd_args gate = {}, up = {};
  experts(memory, gate, kRows);
  experts(memory, up, kRows);
  ln_grouped_gated_fwd_args args = {};
  sides(args, gate, up);
  args.x = memory.random(kRows * kIn);
  args.gate_u = memory.zeros(kRows * kRank);
  args.up_u = memory.zeros(kRows * kRank);
  args.gate = memory.zeros(kRows * kOut);
  args.up = memory.zeros(kRows * kOut);
  args.y = memory.zeros(kRows * kOut);
  const Scratch scratch(context, LN_OP_GROUPED_GATED_FWD, args);
  return ln_grouped_gated_fwd(context, &args);
}

int32_t gated_backward(ln_context* context, Memory& memory) {
  ln_grouped_linear_bwd_args gate = {}, up = {};
  experts(memory, gate, kRows);
  experts(memory, up, kRows);
  ln_grouped_gated_bwd_args args = {};
  sides(args, gate, up);
  args.dy = memory.random(kRows * kOut);
  args.x = memory.random(kRows * kIn);
  args.gate_u = memory.random(kRows * kRank);
  args.up_u = memory.random(kRows * kRank);
  args.gate_v = memory.zeros(kRows * kRank);
  args.up_v = memory.zeros(kRows * kRank);
  std::vector<float*> grad_a, grad_b;
  for (int64_t e = 0; e < 2 * kExperts; ++e) {
    grad_a.push_back(memory.random(kRank * kIn));
    grad_b.push_back(memory.random(kOut * kRank));
  }
  args.gate_grad_a = memory.table(grad_a);
  args.gate_grad_b = memory.table(grad_b);
  args.up_grad_a = args.gate_grad_a + kExperts;
  args.up_grad_b = args.gate_grad_b + kExperts;
  args.gate = memory.random(kRows * kOut);
  args.up = memory.random(kRows * kOut);
  args.dx = memory.zeros(kRows * kIn);
  const Scratch scratch(context, LN_OP_GROUPED_GATED_BWD, args);
  return ln_grouped_gated_bwd(context, &args);
}

int32_t down_backward(ln_context* context, Memory& memory, int64_t tokens) {
  const int64_t rows = tokens * kTopK;
  ln_grouped_linear_bwd_args layer = {};
  experts(memory, layer, rows);
  ln_grouped_down_bwd_args args = {};
  args.dy = memory.random(tokens * kOut);
  std::vector<int32_t> rows_of_pairs;
  for (int64_t pair = 0; pair < rows; ++pair) rows_of_pairs.push_back(static_cast<int32_t>(rows - 1 - pair));
  args.rows_of_pairs = memory.of(rows_of_pairs);
  args.scores = memory.random(rows);
  args.dscores = memory.zeros(rows);
  args.offsets = layer.offsets;
  args.weights = layer.weights;
  args.lora_a = layer.lora_a;
  args.lora_b = layer.lora_b;
  args.ranks = layer.ranks;
  args.scales = layer.scales;
  args.u = memory.random(rows * kRank);
  args.v = memory.zeros(rows * kRank);
  std::vector<float*> grad_a, grad_b;
  for (int64_t e = 0; e < kExperts; ++e) {
    grad_a.push_back(memory.random(kRank * kIn));
    grad_b.push_back(memory.random(kOut * kRank));
  }
  args.grad_a = memory.table(grad_a);
  args.grad_b = memory.table(grad_b);
  args.gate = memory.random(rows * kIn);
  args.up = memory.random(rows * kIn);
  args.inner = memory.zeros(rows * kIn);
  args.tokens = tokens;
  args.top_k = kTopK;
  args.in = kIn;
  args.out = kOut;
  args.experts = kExperts;
  args.max_rank = kRank;
  args.weight_dtype = layer.weight_dtype;
  args.activation = LN_SILU;
  const Scratch scratch(context, LN_OP_GROUPED_DOWN_BWD, args);
  return ln_grouped_down_bwd(context, &args);
}

int32_t mixture(ln_context* context, Memory& memory) {
  constexpr int64_t width = 36, pairs = kTokens * kTopK;
  ln_router_fwd_args router = {};
  router.logits = memory.random(kTokens * kExperts);
  router.probabilities = memory.zeros(kTokens * kExperts);
  int32_t* ids = memory.of(numbers(pairs, kExperts));
  router.ids = ids;
  router.weights = memory.zeros(pairs);
  router.counts = memory.of(std::vector<int64_t>(kExperts));
  router.probability_sums = memory.of(std::vector<double>(kExperts));
  router.log_sum_exp = memory.zeros(kTokens);
  router.square_sum = memory.of(std::vector<double>(1));
  router.tokens = kTokens;
  router.experts = kExperts;
  router.top_k = kTopK;
  router.renormalise = 1;
  int32_t status = ln_router_fwd(context, &router);
  if (status != LN_OK) return status;

  ln_moe_plan_args plan = {};
  plan.ids = ids;
  plan.offsets = memory.of(numbers(kExperts + 1, 2));
  int32_t* rows_of_pairs = memory.of(numbers(pairs, 2));
  int32_t* tokens_of_rows = memory.of(numbers(pairs, 2));
  plan.rows_of_pairs = rows_of_pairs;
  plan.tokens_of_rows = tokens_of_rows;
  plan.tokens = kTokens;
  plan.experts = kExperts;
  plan.top_k = kTopK;
  {
    const Scratch scratch(context, LN_OP_MOE_PLAN, plan);
    if ((status = ln_moe_plan(context, &plan)) != LN_OK) return status;
    wait();
  }
  const float* x = memory.random(kTokens * width);
  float* rows = memory.zeros(pairs * width);
  float* y = memory.zeros(kTokens * width);
  float* dweights = memory.zeros(pairs);
  float* dlogits = memory.zeros(kTokens * kExperts);
  double* loss = memory.of(std::vector<double>(1));
  float* dprobabilities = memory.zeros(kExperts);
  if ((status = ln_gather_rows(context, x, tokens_of_rows, rows, pairs, kTokens, width)) != LN_OK) return status;
  status = ln_moe_combine_fwd(context, rows, rows_of_pairs, router.weights, y, kTokens, kTopK, width, 1);
  if (status != LN_OK) return status;
  status = ln_moe_combine_bwd(context, y, rows, rows_of_pairs, router.weights, rows, dweights, kTokens, kTopK, width);
  if (status != LN_OK) return status;
  status = ln_load_balancing_loss(context, router.counts, router.probability_sums, kExperts, kTokens, 0.01f, loss,
                                  dprobabilities);
  if (status != LN_OK) return status;
  ln_router_bwd_args backward = {};
  backward.probabilities = router.probabilities;
  backward.ids = ids;
  backward.weights = router.weights;
  backward.dweights = dweights;
  backward.dprobabilities = dprobabilities;
  backward.log_sum_exp = router.log_sum_exp;
  backward.dlogits = dlogits;
  backward.tokens = kTokens;
  backward.experts = kExperts;
  backward.top_k = kTopK;
  backward.renormalise = 1;
  backward.z_scale = 0.5f;
  if ((status = ln_router_bwd(context, &backward)) != LN_OK) return status;
  int32_t* distinct = memory.of(std::vector<int32_t>{3, 1, 0});
  float* few = memory.random(kTokens * 3);
  if ((status = ln_scatter_rows(context, few, distinct, y, 3, kTokens, 3)) != LN_OK) return status;
  if ((status = ln_gather_columns(context, y, distinct, few, kTokens, width, 3)) != LN_OK) return status;
  return ln_add_columns(context, few, distinct, y, kTokens, width, 3);
}

}  // namespace ln::smallest
