// Every op of lora_native.h on one context, each called with the allocations of its second call counted.
#pragma once

#include <set>

#include "attention_cases.hpp"
#include "counted_allocations.hpp"
#include "down_cases.hpp"
#include "joint_layers.hpp"

// The name of a function and the function.
#define LN_NAMED(function) #function, function

namespace ln::test::allocation {

// Several tasks for each of two threads: of elements, and of rows that are so wide.
constexpr int64_t kElements = 5 * 16384 + 3, kWidth = 256, kRows = kElements / kWidth;
constexpr int32_t kDtypes[] = {LN_F32, LN_BF16, LN_F16, LN_NF4, LN_FP4};

/// Calls every op on one context. The first call of an op may set something up, the second one is counted.
class Ops {
 public:
  Ops(int32_t simd, int32_t threads)
      : context_(simd, threads), where_(std::string(simd_name(simd)) + ", threads " + std::to_string(threads)) {}

  void run() {
    for (int32_t dtype : kDtypes) {
      for (int64_t rows : {96, 5}) linear(dtype, rows);  // packed, and streamed
      grouped({{3, 0, 90, 1, 0, 17, 8, 9}, {0, 8, 3}, 64, 128, 8, dtype});
      weights(dtype);
    }
    grouped({{3, 0, 90, 1, 0, 17, 8, 9}, {4}, 64, 128, 4, LN_F32, true, 1});
    grouped({{3, 0, 90, 1, 0, 17, 8, 9}, {4}, 64, 128, 4, LN_F32, false, 0, true, false});
    attention({{130}, {130}, 2, 1, 32, 0});  // in tiles where there are threads for them
    attention({{70, 65, 40}, {70, 200, 40}, 4, 2, 24, 7});
    attention({{1, 1}, {130, 64}, 8, 2, 40, 0});
    routing();
    rows();
    elements();
    optimizer();
  }

  /// The ops that were called.
  const std::set<std::string>& called() const { return called_; }

 private:
  template <typename... Parameters, typename... Arguments>
  void call(const char* name, int32_t (*function)(ln_context*, Parameters...), Arguments&&... arguments) {
    ASSERT_EQ(LN_OK, function(context_, arguments...)) << name << ", " << where_ << ": " << context_.error();
    CountedAllocations allocations;
    const int32_t status = function(context_, arguments...);
    EXPECT_EQ(0, allocations.stop()) << "allocations of " << name << ", " << where_;
    EXPECT_EQ(LN_OK, status) << name << ", " << where_ << ": " << context_.error();
    called_.insert(name);
  }

  template <typename Args>
  void call_with_scratch(int32_t op, const char* name, int32_t (*function)(ln_context*, const Args*),
                         const Args& args) {
    int64_t bytes = 0;
    call(LN_NAMED(ln_scratch_bytes), op, &args, &bytes);
    context_.reserve(op, args);
    call(name, function, &args);
  }

  void linear(int32_t dtype, int64_t rows) {
    const TestMatrix a(rows, 128, LN_F32, random_), b(256, 128, dtype, random_);
    Guarded<float> c(rows * 256);
    const ln_matmul_args product = {a.data(), b.data(), nullptr, c,      rows, 256, 128, 128, 128,
                                    256,      LN_F32,   dtype,   LN_F32, 0,    1,   1,   0,   0};
    call_with_scratch(LN_OP_MATMUL, LN_NAMED(ln_matmul), product);

    JointFixture joint({rows, 96, {{160, 8, dtype, LN_BF16}, {64, 4, dtype}, {64, 0, dtype}}});
    call_with_scratch(LN_OP_JOINT_LINEAR_FWD, LN_NAMED(ln_joint_linear_fwd), joint.forward());
    call_with_scratch(LN_OP_JOINT_LINEAR_BWD, LN_NAMED(ln_joint_linear_bwd), joint.backward());
    ln_linear_fwd_args forward = joint.forward_layers[0];
    ln_linear_bwd_args backward = joint.backward_layers[0];
    Guarded<float> dlora_x(rows * 96);
    for (bool dropout : {false, true}) {
      forward.lora_x = backward.lora_x = dropout ? forward.x : nullptr;
      backward.dlora_x = dropout ? dlora_x.data() : nullptr;
      call_with_scratch(LN_OP_LINEAR_FWD, LN_NAMED(ln_linear_fwd), forward);
      call_with_scratch(LN_OP_LINEAR_BWD, LN_NAMED(ln_linear_bwd), backward);
    }
    Guarded<float> norms(160);
    const JointTensors& layer = joint.tensors[0];
    call(LN_NAMED(ln_dora_norms), layer.weight.data(), dtype, layer.lora_a.floats(), layer.lora_b.floats(), 0.5f, norms,
         160, 96, 8);
  }

  void grouped(const grouped::Case& x) {
    grouped::Fixture layer(x);
    call_with_scratch(LN_OP_GROUPED_LINEAR_FWD, LN_NAMED(ln_grouped_linear_fwd), layer.forward());
    call_with_scratch(LN_OP_GROUPED_LINEAR_BWD, LN_NAMED(ln_grouped_linear_bwd), layer.backward());
    gated::Fixture gated({x, {5, 0}, 6});
    ln_grouped_gated_fwd_args forward = gated.forward();
    call_with_scratch(LN_OP_GROUPED_GATED_FWD, LN_NAMED(ln_grouped_gated_fwd), forward);
    call_with_scratch(LN_OP_GROUPED_GATED_BWD, LN_NAMED(ln_grouped_gated_bwd), gated.backward());
    forward.gate = forward.up = nullptr;
    call_with_scratch(LN_OP_GROUPED_GATED_FWD, LN_NAMED(ln_grouped_gated_fwd), forward);
    down::Fixture down({x, 2});
    call_with_scratch(LN_OP_GROUPED_DOWN_BWD, LN_NAMED(ln_grouped_down_bwd), down.args());
  }

  /// Quantising, reading a table, and casts.
  void weights(int32_t dtype) {
    const TestMatrix table(kRows, kWidth, dtype, random_);
    Guarded<float> y(kElements, random_);
    Guarded<int32_t> ids(kRows);
    for (int64_t i = 0; i < kRows; ++i) ids[i] = static_cast<int32_t>(random_.below(kRows));
    call(LN_NAMED(ln_embedding_fwd), table.data(), dtype, ids, y, kRows, kRows, kWidth);
    if (!is_quantized(dtype)) {
      Guarded<uint16_t> half(kRows * kWidth);
      call(LN_NAMED(ln_cast), table.data(), dtype, y, LN_F32, kRows * kWidth);
      call(LN_NAMED(ln_cast), y, LN_F32, half, LN_BF16, kRows * kWidth);
      return;
    }
    Guarded<uint8_t> codes((kElements + 1) / 2), absmax_codes(kElements / 64 + 1);
    Guarded<float> source(kElements, random_), absmax(kElements / 64 + 1), nested(kElements / 64), offset(1), map(256);
    for (int64_t i = 0; i < map.size(); ++i) map[i] = static_cast<float>(i - 127) / 128;
    call(LN_NAMED(ln_quantize), source, LN_F32, kElements, dtype, 64, codes, absmax);
    call(LN_NAMED(ln_quantize_absmax), absmax, absmax.size(), 16, map, absmax_codes, nested, offset);
    call(LN_NAMED(ln_dequantize), static_cast<const ln_quantized*>(table.data()), dtype, 7, kRows * kWidth - 7, y,
         LN_F32);
  }

  void attention(const AttentionShape& shape) {
    AttentionCase x(shape);
    call_with_scratch(LN_OP_ATTENTION_FWD, LN_NAMED(ln_attention_fwd), x.args());
    call_with_scratch(LN_OP_ATTENTION_BWD, LN_NAMED(ln_attention_bwd), x.args());
  }

  void routing() {
    constexpr int64_t kExperts = 64, kTopK = 4, kPairs = kRows * kTopK;
    Guarded<float> logits(kRows * kExperts, random_), p(kRows * kExperts), scores(kPairs), lse(kRows);
    Guarded<float> dscores(kPairs, random_), dp(kExperts), dlogits(kRows * kExperts);
    Guarded<int32_t> ids(kPairs), offsets(kExperts + 1), rows_of_pairs(kPairs), tokens_of_rows(kPairs);
    Guarded<int64_t> counts(kExperts);
    Guarded<double> sums(kExperts), square_sum(1), loss(1);
    const ln_router_fwd_args forward = {logits,     p,     ids,      scores, counts, sums, lse,
                                        square_sum, kRows, kExperts, kTopK,  1,      0};
    call(LN_NAMED(ln_router_fwd), &forward);
    call(LN_NAMED(ln_load_balancing_loss), counts, sums, kExperts, kRows, 0.01f, loss, dp);
    const ln_router_bwd_args backward = {p, ids, scores, dscores, dp, lse, dlogits, kRows, kExperts, kTopK, 1, 0.1f};
    call(LN_NAMED(ln_router_bwd), &backward);
    call_with_scratch(LN_OP_MOE_PLAN, LN_NAMED(ln_moe_plan),
                      ln_moe_plan_args{ids, offsets, rows_of_pairs, tokens_of_rows, kRows, kExperts, kTopK});

    Guarded<float> tokens(kRows * kWidth, random_), of_pairs(kPairs * kWidth, random_), gathered(kPairs * kWidth);
    call(LN_NAMED(ln_gather_rows), tokens, tokens_of_rows, gathered, kPairs, kRows, kWidth);
    call(LN_NAMED(ln_scatter_rows), of_pairs, rows_of_pairs, gathered, kPairs, kPairs, kWidth);
    call(LN_NAMED(ln_moe_combine_fwd), of_pairs, rows_of_pairs, scores, tokens, kRows, kTopK, kWidth, 1);
    call(LN_NAMED(ln_moe_combine_bwd), tokens, of_pairs, rows_of_pairs, scores, gathered, dscores, kRows, kTopK,
         kWidth);
  }

  /// Ops on rows.
  void rows() {
    constexpr int64_t kCount = 40;
    Guarded<float> x(kRows * kWidth, random_), dy(kRows * kWidth, random_), y(kRows * kWidth), sum(kRows * kWidth);
    Guarded<float> of_row(kRows, random_), of_column(kWidth, random_), gradient(kRows * kWidth), narrow(kRows * kCount);
    Guarded<int32_t> ids(kRows), slots(kRows), index(kCount), labels(kRows);
    for (int64_t i = 0; i < kRows; ++i) {
      ids[i] = labels[i] = static_cast<int32_t>(random_.below(kWidth));
      slots[i] = static_cast<int32_t>(i % 3 == 0 ? -1 : i % kCount);
    }
    labels[1] = -100;
    for (int64_t i = 0; i < kCount; ++i) index[i] = static_cast<int32_t>(3 * i);
    call(LN_NAMED(ln_embedding_bwd), dy, ids, gradient, kRows, kRows, kWidth);
    call(LN_NAMED(ln_embedding_rows_fwd), x, slots, ids, y, kRows, kRows, kCount, kWidth);
    call(LN_NAMED(ln_embedding_rows_bwd), dy, slots, ids, gradient, kRows, kRows, kCount, kWidth);
    call(LN_NAMED(ln_gather_columns), x, index, narrow, kRows, kWidth, kCount);
    call(LN_NAMED(ln_add_columns), narrow, index, y, kRows, kWidth, kCount);
    call(LN_NAMED(ln_column_sums), x, of_column, kRows, kWidth);
    call(LN_NAMED(ln_sigmoid_gate_fwd), x, of_row, y, kRows, kWidth, 0);
    call(LN_NAMED(ln_sigmoid_gate_bwd), dy, x, of_row, y, narrow, kRows, kWidth);
    call(LN_NAMED(ln_cross_entropy), y, labels, narrow, kRows, kWidth, 0.1f, 1);

    const ln_rmsnorm_fwd_args norm = {x, dy, of_column, sum, y, of_row, kRows, kWidth, 1e-6f, LN_F32};
    call(LN_NAMED(ln_rmsnorm_fwd), &norm);
    const ln_rmsnorm_bwd_args norm_bwd = {dy, sum, of_column, of_row, x, y, gradient, kRows, kWidth, LN_F32, 0};
    call(LN_NAMED(ln_rmsnorm_bwd), &norm_bwd);
    Guarded<int32_t> positions(kRows);
    const ln_rope_args rope = {y, x, dy, positions, kRows, 4, kWidth / 4, 32, 20, 1, 0};
    call(LN_NAMED(ln_rope), &rope);
    const ln_dora_fwd_args dora = {x, of_column, of_column, of_column, y, kRows, kWidth, LN_F32, 0};
    call(LN_NAMED(ln_dora_fwd), &dora);
    const ln_dora_bwd_args dora_bwd = {dy, x, of_column, of_column, y, gradient, kRows, kWidth};
    call(LN_NAMED(ln_dora_bwd), &dora_bwd);
  }

  void elements() {
    constexpr int64_t n = kElements;
    Guarded<float> x(n, random_), up(n, random_), dy(n, random_), y(n), dup(n), scale(1);
    Guarded<double> result(1);
    for (int32_t activation : {LN_SILU, LN_GELU_TANH, LN_GELU_ERF}) {
      call(LN_NAMED(ln_gated_activation_fwd), activation, x, up, y, n);
      call(LN_NAMED(ln_gated_activation_bwd), activation, dy, x, up, y, dup, n);
    }
    call(LN_NAMED(ln_axpby), 0.5f, x, 0.5f, y, n);
    call(LN_NAMED(ln_clamp_fwd), y, n, 0.4f);
    call(LN_NAMED(ln_clamp_bwd), y, dy, n, 0.4f);
    call(LN_NAMED(ln_dropout), x, y, n, 0.1f, 1, 2, 0);
    call(LN_NAMED(ln_sum), x, n, result);
    call(LN_NAMED(ln_sum_of_squares), x, n, result);
    call(LN_NAMED(ln_gradient_scale), result, 1, 1.0, scale);
  }

  void optimizer() {
    constexpr int64_t n = kElements, blocks = n / 256 + 1;
    Guarded<float> p(n, random_), g(n, random_), m(n), v(n), m_absmax(blocks), v_absmax(blocks);
    Guarded<uint8_t> m_codes(n), v_codes(n);
    const ln_adamw_args adamw = {p, g, m, v, nullptr, n, 1, 1e-3, 0.9, 0.999, 1e-8, 0.01};
    call(LN_NAMED(ln_adamw), &adamw);
    const ln_adamw_8bit_args in_8_bits = {p, g, m_codes, v_codes, m_absmax, v_absmax, nullptr,
                                          n, 1, 1e-3,    0.9,     0.999,    1e-8,     0.01};
    call(LN_NAMED(ln_adamw_8bit), &in_8_bits);
  }

  Context context_;
  std::string where_;
  Random random_{37};
  std::set<std::string> called_;
};

}  // namespace ln::test::allocation
