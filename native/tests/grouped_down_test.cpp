#include "down_cases.hpp"

namespace ln::test {
namespace {

using down::Case;
using down::Fixture;
using down::Results;

std::vector<Case> cases() {
  const std::vector<int64_t> uneven = {3, 0, 40, 1, 0, 17, 8, 9};  // 78
  return {
      {{uneven, {8}, 33, 48, 8}, 2},
      {{uneven, {3, 0, 16, 1, 8, 5, 0, 2}, 64, 31, 16, LN_BF16}, 6, LN_GELU_TANH},
      {{uneven, {}, 40, 24, 0, LN_BF16}, 1, LN_GELU_ERF},
      {{uneven, {5, 2}, 24, 40, 6, LN_F32, false, 0, true}, 3},
      {{uneven, {4}, 129, 40, 4, LN_F16}, 2, LN_SILU, true},
      {{{0, 0, 70, 0}, {8}, 31, 63, 8, LN_NF4}, 7},
      {{uneven, {3, 0, 16, 1, 8, 5, 0, 2}, 72, 136, 16, LN_FP4}, 2},
  };
}

/// One row after another by the formula of the forward pass, in float64, and its derivative with respect to the scores.
TEST(GroupedDown, ScoresHaveTheGradientOfTheirFormula) {
  const Case x = {{{2, 0, 4}, {2, 1, 3}, 5, 7, 3}, 2};
  for (int32_t simd : tiers()) {
    Context context(simd, 1);
    Fixture f(x);
    const Fixture before = f;
    const Results results = f.run(context);
    for (int64_t pair = 0; pair < f.rows; ++pair) {
      const int64_t row = f.rows_of_pairs[pair], e = row < 2 ? 0 : 2, token = pair / x.top_k;
      const size_t i = static_cast<size_t>(e);
      std::vector<double> inner(5);
      for (int64_t j = 0; j < 5; ++j) {
        const double gate = before.gate(row, j);
        inner[static_cast<size_t>(j)] = gate / (1 + std::exp(-gate)) * before.up(row, j);
      }
      double expected = 0;
      for (int64_t o = 0; o < 7; ++o) {
        double y = 0;
        for (int64_t j = 0; j < 5; ++j) {
          double weight = f.layer.weights[i](o, j);
          for (int64_t r = 0; r < f.layer.ranks[e]; ++r) {
            weight += static_cast<double>(f.layer.scales[e]) * f.layer.lora_b[i](o, r) * f.layer.lora_a[i](r, j);
          }
          y += weight * inner[static_cast<size_t>(j)];
        }
        expected += before.dy(token, o) * y;
      }
      EXPECT_NEAR(expected, static_cast<double>(results.dscores[static_cast<size_t>(pair)]),
                  4e-6 * (1 + std::abs(expected)))
          << simd_name(simd) << " pair " << pair;
    }
  }
}

TEST(GroupedDown, EqualsItsPartsOnEveryTier) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (const Case& x : cases()) {
      down::expect_parts(context, x, x.text(simd));
      if (HasFailure()) return;
    }
  }
}

TEST(GroupedDown, SameBytesForEveryNumberOfThreads) {
  const Case x = {{{30, 0, 2, 90, 10}, {8, 3, 0, 16}, 100, 60, 16, LN_BF16}, 4};
  for (int32_t simd : tiers()) {
    Context one(simd, 1);
    const Results expected = Fixture(x).run(one);
    for (int32_t threads : {2, 3}) {
      Context context(simd, threads);
      const Results actual = Fixture(x).run(context);
      EXPECT_EQ(expected.dscores, actual.dscores);
      EXPECT_EQ(expected.dgate, actual.dgate);
      EXPECT_EQ(expected.dup, actual.dup);
      EXPECT_EQ(expected.gradients, actual.gradients);
    }
  }
}

/// Nobody reads inner where adapters are frozen, and somebody may: shared adapters have their gradients elsewhere.
TEST(GroupedDown, InnerIsWrittenWhereItIsGiven) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    const Case x = {{{10, 0, 20}, {4}, 37, 24, 4, LN_F32, false, 0, true}, 2};
    Fixture with(x), without(x);
    ln_grouped_down_bwd_args args = with.args();
    args.inner = with.inner.floats();
    context.reserve(LN_OP_GROUPED_DOWN_BWD, args);
    ASSERT_EQ(LN_OK, ln_grouped_down_bwd(context, &args)) << context.error();
    const Results expected = without.run(context), actual = with.keep();
    EXPECT_EQ(expected.dscores, actual.dscores);
    EXPECT_EQ(expected.dgate, actual.dgate);
    EXPECT_EQ(expected.dup, actual.dup);
    Fixture apart(x);
    apart.run_apart(context);
    gated::expect_same(gated::copied(with.inner.floats(), with.elements()),
                       apart.scored(gated::copied(apart.inner.floats(), apart.elements()), 37), 1, "inner");
    EXPECT_EQ(gated::copied(apart.layer.u.floats(), 120), actual.u) << "adapters are frozen";
  }
}

TEST(GroupedDown, WithoutTokensNothingIsReadOrWritten) {
  Context context;
  ln_grouped_down_bwd_args args{};
  args.in = args.out = args.experts = args.top_k = 3;
  EXPECT_EQ(LN_OK, ln_grouped_down_bwd(context, &args)) << context.error();
}

TEST(GroupedDown, RefusesBadArguments) {
  Context context;
  const auto refuses = [&](const std::string& text, auto change) {
    Fixture fixture({{{4, 0, 2}, {2}, 5, 6, 2}, 2});
    ln_grouped_down_bwd_args args = fixture.args();
    context.reserve(LN_OP_GROUPED_DOWN_BWD, args);
    change(args, fixture);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_grouped_down_bwd(context, &args));
    EXPECT_EQ("ln_grouped_down_bwd: " + text, context.error());
  };
  refuses("tokens is -1, must be at least 0", [](auto& args, auto&) { args.tokens = -1; });
  refuses("top_k is 0, must be at least 1", [](auto& args, auto&) { args.top_k = 0; });
  refuses("tokens is 1073741824, must be at most 1073741823", [](auto& args, auto&) { args.tokens = 1 << 30; });
  refuses("in is 0, must be at least 1", [](auto& args, auto&) { args.in = 0; });
  refuses("experts is 0, must be at least 1", [](auto& args, auto&) { args.experts = 0; });
  refuses("max_rank is -1, must be at least 0", [](auto& args, auto&) { args.max_rank = -1; });
  refuses("weight_dtype is 5, not an ln_dtype", [](auto& args, auto&) { args.weight_dtype = 5; });
  refuses("activation is 3, not an ln_activation", [](auto& args, auto&) { args.activation = 3; });
  refuses("grad_a and grad_b must both be given or both be NULL", [](auto& args, auto&) { args.grad_b = nullptr; });
  refuses("dy is NULL", [](auto& args, auto&) { args.dy = nullptr; });
  refuses("rows_of_pairs is NULL", [](auto& args, auto&) { args.rows_of_pairs = nullptr; });
  refuses("scores is NULL", [](auto& args, auto&) { args.scores = nullptr; });
  refuses("dscores is NULL", [](auto& args, auto&) { args.dscores = nullptr; });
  refuses("offsets is NULL", [](auto& args, auto&) { args.offsets = nullptr; });
  refuses("weights is NULL", [](auto& args, auto&) { args.weights = nullptr; });
  refuses("gate is NULL", [](auto& args, auto&) { args.gate = nullptr; });
  refuses("up is NULL", [](auto& args, auto&) { args.up = nullptr; });
  refuses("lora_a is NULL", [](auto& args, auto&) { args.lora_a = nullptr; });
  refuses("v is NULL", [](auto& args, auto&) { args.v = nullptr; });
  refuses("u is NULL", [](auto& args, auto&) { args.u = nullptr; });
  refuses("inner is NULL", [](auto& args, auto&) { args.inner = nullptr; });
  if (!kCpu) return;  // what tables hold lies in device memory, of which the host reads nothing
  refuses("rows_of_pairs[1] is 6, must be at least 0 and below 6",
          [](auto&, auto& fixture) { fixture.rows_of_pairs[1] = 6; });
  refuses("offsets[3] is 5, must be rows, 6", [](auto&, auto& fixture) { fixture.layer.offsets[3] = 5; });
  refuses("weights[2] is NULL", [](auto&, auto& fixture) { fixture.layer.weight_table[2] = nullptr; });
  refuses("grad_b[2] is NULL", [](auto&, auto& fixture) { fixture.layer.grad_b_table[2] = nullptr; });
}

TEST(GroupedDown, NeedsItsScratch) {
  Context context;
  Fixture fixture({{{4, 0, 2}, {2}, 5, 6, 2}, 2});
  const ln_grouped_down_bwd_args args = fixture.args();
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_grouped_down_bwd(context, &args));
}

}  // namespace
}  // namespace ln::test
