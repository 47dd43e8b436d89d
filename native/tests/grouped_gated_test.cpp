#include "gated_cases.hpp"

namespace ln::test {
namespace {

using gated::Case;
using gated::Fixture;
using gated::Results;

std::vector<Case> cases() {
  const std::vector<int64_t> uneven = {3, 0, 40, 1, 0, 17, 8, 9};
  return {
      {{uneven, {8}, 33, 48, 8}, {8}, 8},
      {{uneven, {3, 0, 16, 1, 8, 5, 0, 2}, 64, 31, 16, LN_BF16}, {0, 4}, 4, LN_GELU_TANH},
      {{uneven, {}, 40, 24, 0, LN_BF16}, {}, 0, LN_GELU_ERF},
      {{uneven, {}, 40, 24, 0, LN_F16}, {5, 2}, 6},
      {{uneven, {5, 2}, 24, 40, 6, LN_F32, false, 0, true}, {}, 0},
      {{uneven, {4}, 24, 40, 4, LN_F32, false, 0, false, false}, {4}, 4},
      {{{0, 0, 70, 0}, {8}, 31, 63, 8, LN_NF4}, {8}, 8},
      {{uneven, {3, 0, 16, 1, 8, 5, 0, 2}, 72, 136, 16, LN_FP4}, {16}, 16},
  };
}

/// The mlp of one row by its formula, in float64.
TEST(GroupedGated, ForwardEqualsItsFormula) {
  const Case x = {{{2, 0, 3}, {2, 1, 3}, 5, 7, 3}, {1, 2, 0}, 2};
  for (int32_t simd : tiers()) {
    Context context(simd, 1);
    Fixture f(x);
    const Results results = f.run(context);
    const auto product = [&](const grouped::Fixture& side, int64_t e, int64_t row, int64_t column) {
      const size_t i = static_cast<size_t>(e);
      double sum = 0;
      for (int64_t p = 0; p < x.gate.in; ++p) sum += f.gate.input(row, p) * side.weights[i](column, p);
      for (int64_t r = 0; r < side.ranks[e]; ++r) {
        double u = 0;
        for (int64_t p = 0; p < x.gate.in; ++p) u += f.gate.input(row, p) * side.lora_a[i](r, p);
        sum += static_cast<double>(side.scales[e]) * u * side.lora_b[i](column, r);
      }
      return sum;
    };
    for (int64_t e = 0; e < f.gate.experts; ++e) {
      for (int64_t row = f.gate.offsets[e]; row < f.gate.offsets[e + 1]; ++row) {
        for (int64_t column = 0; column < x.gate.out; ++column) {
          const double gate = product(f.gate, e, row, column), up = product(f.up, e, row, column);
          const double expected = gate / (1 + std::exp(-gate)) * up;
          EXPECT_NEAR(expected, static_cast<double>(results.y[static_cast<size_t>(row * x.gate.out + column)]),
                      2e-6 * (1 + std::abs(expected)))
              << simd_name(simd) << " row " << row << " column " << column;
        }
      }
    }
  }
}

TEST(GroupedGated, EqualsItsPartsOnEveryTier) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (const Case& x : cases()) {
      gated::expect_parts(context, x, x.text(simd));
      if (HasFailure()) return;
    }
  }
}

TEST(GroupedGated, SameBytesForEveryNumberOfThreads) {
  const Case x = {{{30, 0, 2, 90, 9}, {8, 3, 0, 16}, 100, 60, 16, LN_BF16}, {4}, 4};
  for (int32_t simd : tiers()) {
    Context one(simd, 1);
    const Results expected = Fixture(x).run(one);
    for (int32_t threads : {2, 3}) {
      Context context(simd, threads);
      const Results actual = Fixture(x).run(context);
      EXPECT_EQ(expected.y, actual.y);
      EXPECT_EQ(expected.dgate, actual.dgate);
      EXPECT_EQ(expected.dx, actual.dx);
      EXPECT_EQ(expected.gate_gradients, actual.gate_gradients);
      EXPECT_EQ(expected.up_gradients, actual.up_gradients);
    }
  }
}

TEST(GroupedGated, TakesGradientsThatAreMadeAlready) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (const Case& x : {cases()[0], cases()[3], cases()[7]}) {
      gated::expect_gradients_taken(context, x, x.text(simd));
      if (HasFailure()) return;
    }
  }
}

TEST(GroupedGated, WithoutRowsNothingIsReadOrWritten) {
  Context context;
  ln_grouped_gated_fwd_args forward{};
  forward.in = forward.out = forward.experts = 3;
  EXPECT_EQ(LN_OK, ln_grouped_gated_fwd(context, &forward)) << context.error();
  ln_grouped_gated_bwd_args backward{};
  backward.in = backward.out = backward.experts = 3;
  EXPECT_EQ(LN_OK, ln_grouped_gated_bwd(context, &backward)) << context.error();
}

TEST(GroupedGated, ForwardRefusesBadArguments) {
  Context context;
  const auto refuses = [&](const std::string& text, auto change) {
    Fixture fixture({{{4, 0, 3}, {2}, 5, 6, 2}, {2}, 2});
    ln_grouped_gated_fwd_args args = fixture.forward();
    context.reserve(LN_OP_GROUPED_GATED_FWD, args);
    change(args, fixture);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_grouped_gated_fwd(context, &args));
    EXPECT_EQ("ln_grouped_gated_fwd: " + text, context.error());
  };
  refuses("rows is -1, must be at least 0", [](auto& args, auto&) { args.rows = -1; });
  refuses("in is 0, must be at least 1", [](auto& args, auto&) { args.in = 0; });
  refuses("experts is 0, must be at least 1", [](auto& args, auto&) { args.experts = 0; });
  refuses("gate_max_rank is -1, must be at least 0", [](auto& args, auto&) { args.gate_max_rank = -1; });
  refuses("up_max_rank is -2, must be at least 0", [](auto& args, auto&) { args.up_max_rank = -2; });
  refuses("weight_dtype is 5, not an ln_dtype", [](auto& args, auto&) { args.weight_dtype = 5; });
  refuses("activation is 3, not an ln_activation", [](auto& args, auto&) { args.activation = 3; });
  refuses("gate and up must both be given or both be NULL", [](auto& args, auto&) { args.up = nullptr; });
  refuses("x is NULL", [](auto& args, auto&) { args.x = nullptr; });
  refuses("offsets is NULL", [](auto& args, auto&) { args.offsets = nullptr; });
  refuses("y is NULL", [](auto& args, auto&) { args.y = nullptr; });
  refuses("gate: weights is NULL", [](auto& args, auto&) { args.gate_weights = nullptr; });
  refuses("up: weights is NULL", [](auto& args, auto&) { args.up_weights = nullptr; });
  refuses("gate: u is NULL", [](auto& args, auto&) { args.gate_u = nullptr; });
  refuses("up: lora_b is NULL", [](auto& args, auto&) { args.up_lora_b = nullptr; });
  if (!kCpu) return;  // what tables hold lies in device memory, of which the host reads nothing
  refuses("up: weights[2] is NULL", [](auto&, auto& fixture) { fixture.up.weight_table[2] = nullptr; });
  refuses("gate: lora_a[2] is NULL", [](auto&, auto& fixture) { fixture.gate.a_table[2] = nullptr; });
}

TEST(GroupedGated, BackwardRefusesBadArguments) {
  Context context;
  const auto refuses = [&](const std::string& text, auto change) {
    Fixture fixture({{{4, 0, 3}, {2}, 5, 6, 2}, {2}, 2});
    ln_grouped_gated_bwd_args args = fixture.backward();
    context.reserve(LN_OP_GROUPED_GATED_BWD, args);
    change(args, fixture);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_grouped_gated_bwd(context, &args));
    EXPECT_EQ("ln_grouped_gated_bwd: " + text, context.error());
  };
  refuses("gate is NULL", [](auto& args, auto&) { args.gate = nullptr; });
  refuses("up is NULL", [](auto& args, auto&) { args.up = nullptr; });
  refuses("gate: v is NULL", [](auto& args, auto&) { args.gate_v = nullptr; });
  refuses("up: u is NULL", [](auto& args, auto&) { args.up_u = nullptr; });
  refuses("gate: x is NULL", [](auto& args, auto&) { args.x = nullptr; });
  refuses("up: weights is NULL", [](auto& args, auto&) { args.up_weights = nullptr; });
  refuses("up: grad_a and grad_b must both be given or both be NULL",
          [](auto& args, auto&) { args.up_grad_a = nullptr; });
  if (!kCpu) return;  // what tables hold lies in device memory, of which the host reads nothing
  refuses("gate: grad_a[2] is NULL", [](auto&, auto& fixture) { fixture.gate.grad_a_table[2] = nullptr; });
}

}  // namespace
}  // namespace ln::test
