#include <algorithm>
#include <array>

#include "harness.hpp"

namespace ln::test {
namespace {

/// Routing of random tokens, some experts without any.
struct Plan {
  int64_t tokens, experts, top_k;
  Guarded<int32_t> ids, offsets, rows_of_pairs, tokens_of_rows;

  Plan(int64_t tokens_in, int64_t experts_in, int64_t top_k_in)
      : tokens(tokens_in),
        experts(experts_in),
        top_k(top_k_in),
        ids(tokens * top_k),
        offsets(experts + 1),
        rows_of_pairs(tokens * top_k),
        tokens_of_rows(tokens * top_k) {
    Random random(31);
    for (int64_t pair = 0; pair < ids.size(); ++pair) {
      const int64_t first = random.below(experts);
      ids[pair] = static_cast<int32_t>(first % 3 == 1 && experts > 1 ? 0 : first);
    }
  }

  ln_moe_plan_args args() { return {ids, offsets, rows_of_pairs, tokens_of_rows, tokens, experts, top_k}; }

  void make(Context& context) {
    const ln_moe_plan_args plan = args();
    context.reserve(LN_OP_MOE_PLAN, plan);
    ASSERT_EQ(LN_OK, ln_moe_plan(context, &plan)) << context.error();
  }
};

TEST(Moe, PlanSortsPairsByExpertAndKeepsTheirOrder) {
  for (auto [tokens, experts, top_k] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 2, 2}, {7, 16, 4}, {100, 60, 4}, {4000, 128, 8}, {5, 300, 1}}) {
    for (int threads : {1, 2, 3}) {
      Plan plan(tokens, experts, top_k);
      Context context(LN_SIMD_AUTO, threads);
      plan.make(context);
      int32_t row = 0;
      for (int32_t e = 0; e < experts; ++e) {
        ASSERT_EQ(row, plan.offsets[e]) << "expert " << e;
        for (int64_t pair = 0; pair < plan.ids.size(); ++pair) {
          if (plan.ids[pair] != e) continue;
          ASSERT_EQ(row, plan.rows_of_pairs[pair]);
          ASSERT_EQ(pair / top_k, plan.tokens_of_rows[row]);
          ++row;
        }
      }
      ASSERT_EQ(row, plan.offsets[experts]);
    }
  }
}

TEST(Moe, PlanOfNoTokensIsAllZeroOffsets) {
  Context context;
  Guarded<int32_t> offsets(6);
  for (int64_t e = 0; e < 6; ++e) offsets[e] = 9;
  const ln_moe_plan_args args = {nullptr, offsets, nullptr, nullptr, 0, 5, 2};
  ASSERT_EQ(LN_OK, ln_moe_plan(context, &args)) << context.error();
  for (int64_t e = 0; e < 6; ++e) EXPECT_EQ(0, offsets[e]);
}

TEST(Moe, PlanRefusesBadArgumentsAndWritesNothing) {
  Context context;
  for (int32_t bad : {-1, 4, INT32_MIN, INT32_MAX}) {
    if (!kCpu) break;  // ids in device memory cannot be looked at: cuda-kernels/tests/moe_test.cpp
    Plan plan(3, 4, 2);
    plan.offsets[0] = 77;
    plan.ids[5] = bad;
    const ln_moe_plan_args args = plan.args();
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_moe_plan(context, &args));
    EXPECT_EQ("ln_moe_plan: ids[5] is " + std::to_string(bad) + ", must be at least 0 and below 4", context.error());
    EXPECT_EQ(77, plan.offsets[0]);
  }
  Plan plan(3, 4, 2);
  const auto refuse = [&](auto change, const char* error) {
    ln_moe_plan_args args = plan.args();
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_moe_plan(context, &args));
    EXPECT_EQ(error, context.error());
  };
  refuse([](auto& a) { a.tokens = -1; }, "ln_moe_plan: tokens is -1, must be at least 0");
  refuse([](auto& a) { a.top_k = 0; }, "ln_moe_plan: top_k is 0, must be at least 1");
  refuse([](auto& a) { a.experts = 0; }, "ln_moe_plan: experts is 0, must be at least 1");
  refuse([](auto& a) { a.tokens = 1ll << 30; }, "ln_moe_plan: tokens is 1073741824, must be at most 1073741823");
  refuse([](auto& a) { a.ids = nullptr; }, "ln_moe_plan: ids is NULL");
  refuse([](auto& a) { a.offsets = nullptr; }, "ln_moe_plan: offsets is NULL");
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_moe_plan(context, nullptr));
  EXPECT_EQ("ln_moe_plan: args is NULL", context.error());
}

TEST(Moe, GatherAndScatterMoveRows) {
  for (int64_t width : {1, 3, 17, 64, 20000}) {
    for (int64_t rows : {0, 1, 5, 33}) {
      Context context(LN_SIMD_AUTO, 2);
      Random random(32);
      const int64_t others = rows + 4;
      Guarded<float> x(others * width, random), gathered(rows * width), scattered(others * width);
      Guarded<int32_t> index(rows);
      for (int64_t r = 0; r < rows; ++r) index[r] = static_cast<int32_t>((r * 5 + 1) % others);
      ASSERT_EQ(LN_OK, ln_gather_rows(context, x, index, gathered, rows, others, width)) << context.error();
      for (int64_t r = 0; r < rows; ++r)
        expect_identical(gathered + r * width, x + index[r] * width, width, "gathered row");
      // No two indices are equal: rows + 4 is prime to 5, or there is one row.
      std::vector<float> expected(scattered.size());
      for (int64_t i = 0; i < scattered.size(); ++i) expected[i] = scattered[i] = -8;
      for (int64_t r = 0; r < rows; ++r) std::copy_n(gathered + r * width, width, expected.data() + index[r] * width);
      ASSERT_EQ(LN_OK, ln_scatter_rows(context, gathered, index, scattered, rows, others, width)) << context.error();
      expect_identical(scattered.data(), expected.data(), scattered.size(), "scattered rows");
    }
  }
}

TEST(Moe, GatherAndScatterRefuseBadArgumentsAndWriteNothing) {
  Context context;
  float x[6] = {1, 2, 3, 4, 5, 6}, y[6] = {};
  const int32_t high[2] = {0, 3};
  if (kCpu) {
    const int32_t low[2] = {-1, 0};
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gather_rows(context, x, high, y, 2, 3, 2));
    EXPECT_EQ("ln_gather_rows: index[1] is 3, must be at least 0 and below 3", context.error());
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_scatter_rows(context, x, low, y, 2, 3, 2));
    EXPECT_EQ("ln_scatter_rows: index[0] is -1, must be at least 0 and below 3", context.error());
  }
  for (float value : y) EXPECT_EQ(0, value);
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_scatter_rows(context, x, high, y, 4, 3, 2));
  EXPECT_EQ("ln_scatter_rows: rows is 4, must be at most 3", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gather_rows(context, x, high, y, -2, 3, 2));
  EXPECT_EQ("ln_gather_rows: rows is -2, must be at least 0", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gather_rows(context, x, high, y, 2, 3, 0));
  EXPECT_EQ("ln_gather_rows: width is 0, must be at least 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gather_rows(context, nullptr, high, y, 2, 3, 2));
  EXPECT_EQ("ln_gather_rows: x is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_scatter_rows(context, x, nullptr, y, 2, 3, 2));
  EXPECT_EQ("ln_scatter_rows: index is NULL", context.error());
}

struct CombineShape {
  int64_t tokens, top_k, width;
};

constexpr CombineShape kCombineShapes[] = {{0, 2, 8},  {1, 1, 1},  {3, 2, 3},  {5, 3, 15}, {4, 2, 16},  {3, 4, 17},
                                           {2, 8, 31}, {7, 2, 33}, {3, 5, 63}, {3, 2, 64}, {5, 1, 100}, {33, 8, 1027}};

TEST(Moe, CombineForwardEqualsTheOracle) {
  for (int32_t simd : tiers()) {
    for (CombineShape s : kCombineShapes) {
      for (bool weighted : {false, true}) {
        for (int32_t accumulate : {0, 1}) {
          Context context(simd, 2);
          Plan plan(s.tokens, 6, s.top_k);
          plan.make(context);
          Random random(33);
          const int64_t pairs = s.tokens * s.top_k;
          Guarded<float> x(pairs * s.width, random), weights(pairs, random), y(s.tokens * s.width, random);
          std::vector<double> expected(static_cast<size_t>(y.size()));
          for (int64_t i = 0; i < y.size(); ++i) expected[i] = accumulate ? y[i] : 0;
          for (int64_t pair = 0; pair < pairs; ++pair) {
            for (int64_t c = 0; c < s.width; ++c) {
              expected[pair / s.top_k * s.width + c] +=
                  (weighted ? static_cast<double>(weights[pair]) : 1) * x[plan.rows_of_pairs[pair] * s.width + c];
            }
          }
          ASSERT_EQ(LN_OK, ln_moe_combine_fwd(context, x, plan.rows_of_pairs, weighted ? weights.data() : nullptr, y,
                                              s.tokens, s.top_k, s.width, accumulate))
              << context.error();
          expect_close(y, expected, y.size(), 5e-7, std::string("combine ") + simd_name(simd));
        }
      }
    }
  }
}

/// sum(dy * combine(x, weights)) in float64: its derivatives are what the backward pass gives for the gradient dy.
double combined(const std::vector<double>& x, const std::vector<double>& weights, const Guarded<float>& dy,
                const Plan& plan, int64_t width) {
  double total = 0;
  for (size_t pair = 0; pair < weights.size(); ++pair) {
    for (int64_t c = 0; c < width; ++c) {
      total += weights[pair] * x[plan.rows_of_pairs[pair] * width + c] *
               dy[static_cast<int64_t>(pair) / plan.top_k * width + c];
    }
  }
  return total;
}

template <typename Function>
std::vector<double> differences(std::vector<double> at, Function function) {
  std::vector<double> slopes(at.size());
  for (size_t i = 0; i < at.size(); ++i) {
    const double here = at[i];
    at[i] = here + 0.5;  // the function is linear, so any step is exact
    const double above = function(at);
    at[i] = here - 0.5;
    slopes[i] = above - function(at);
    at[i] = here;
  }
  return slopes;
}

TEST(Moe, CombineBackwardEqualsFiniteDifferencesAlsoInPlace) {
  for (int32_t simd : tiers()) {
    for (CombineShape s : kCombineShapes) {
      if (s.width > 100) continue;
      Context context(simd, 2);
      Plan plan(s.tokens, 6, s.top_k);
      plan.make(context);
      Random random(34);
      const int64_t pairs = s.tokens * s.top_k;
      Guarded<float> x(pairs * s.width, random), weights(pairs, random), dy(s.tokens * s.width, random);
      Guarded<float> dx(x.size()), dweights(pairs), dweights_in_place(pairs);
      const std::vector<double> x64(x.data(), x.data() + x.size()), w64(weights.data(), weights.data() + pairs);
      const auto expected_dx = differences(x64, [&](const auto& at) { return combined(at, w64, dy, plan, s.width); });
      const auto expected_dw = differences(w64, [&](const auto& at) { return combined(x64, at, dy, plan, s.width); });
      ASSERT_EQ(LN_OK, ln_moe_combine_bwd(context, dy, x, plan.rows_of_pairs, weights, dx, dweights, s.tokens, s.top_k,
                                          s.width))
          << context.error();
      expect_close(dx, expected_dx, x.size(), 1e-6, std::string("dx ") + simd_name(simd));
      expect_close(dweights, expected_dw, pairs, 1e-6, std::string("dweights ") + simd_name(simd));
      ASSERT_EQ(LN_OK, ln_moe_combine_bwd(context, dy, x, plan.rows_of_pairs, weights, x, dweights_in_place, s.tokens,
                                          s.top_k, s.width));
      expect_identical(x.data(), dx.data(), x.size(), "dx in place");
      expect_identical(dweights_in_place.data(), dweights.data(), pairs, "dweights in place");
    }
  }
}

TEST(Moe, CombineIsTheSameForEveryThreadCount) {
  constexpr CombineShape s = {67, 8, 1027};
  for (int32_t simd : tiers()) {
    Random random(35);
    Guarded<float> x(s.tokens * s.top_k * s.width, random), weights(s.tokens * s.top_k, random),
        dy(s.tokens * s.width, random);
    Guarded<float> y[2] = {Guarded<float>(dy.size()), Guarded<float>(dy.size())};
    Guarded<float> dx[2] = {Guarded<float>(x.size()), Guarded<float>(x.size())};
    Guarded<float> dweights[2] = {Guarded<float>(weights.size()), Guarded<float>(weights.size())};
    for (int threads : {1, 2, 3}) {
      const int at = threads == 1 ? 0 : 1;
      Context context(simd, threads);
      Plan plan(s.tokens, 60, s.top_k);
      plan.make(context);
      ASSERT_EQ(LN_OK,
                ln_moe_combine_fwd(context, x, plan.rows_of_pairs, weights, y[at], s.tokens, s.top_k, s.width, 0));
      ASSERT_EQ(LN_OK, ln_moe_combine_bwd(context, dy, x, plan.rows_of_pairs, weights, dx[at], dweights[at], s.tokens,
                                          s.top_k, s.width));
      expect_identical(y[at].data(), y[0].data(), dy.size(), "y");
      expect_identical(dx[at].data(), dx[0].data(), x.size(), "dx");
      expect_identical(dweights[at].data(), dweights[0].data(), weights.size(), "dweights");
    }
  }
}

TEST(Moe, CombineRefusesBadArguments) {
  Context context;
  float x[2] = {}, y[2] = {};
  const int32_t rows[2] = {0, 1};
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_moe_combine_fwd(context, x, rows, nullptr, y, 1, 2, 0, 0));
  EXPECT_EQ("ln_moe_combine_fwd: width is 0, must be at least 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_moe_combine_fwd(context, x, rows, nullptr, y, 1, 2, 1, 3));
  EXPECT_EQ("ln_moe_combine_fwd: accumulate is 3, must be 0 or 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_moe_combine_fwd(context, x, nullptr, nullptr, y, 1, 2, 1, 0));
  EXPECT_EQ("ln_moe_combine_fwd: rows_of_pairs is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_moe_combine_bwd(context, y, x, rows, nullptr, x, y, 1, 2, 1));
  EXPECT_EQ("ln_moe_combine_bwd: weights is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_moe_combine_bwd(context, y, x, rows, y, x, y, -1, 2, 1));
  EXPECT_EQ("ln_moe_combine_bwd: tokens is -1, must be at least 0", context.error());
}

}  // namespace
}  // namespace ln::test
