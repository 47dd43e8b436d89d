// The plan in every schedule, on chunks that end everywhere, with counters in shared memory and not; and what a GPU
// does with indices that it cannot refuse.
#include <array>

#include "harness.hpp"

namespace ln::test {
namespace {

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
    Random random(41);
    for (int64_t pair = 0; pair < ids.size(); ++pair) {
      const int64_t first = random.below(experts);
      ids[pair] = static_cast<int32_t>(first % 3 == 1 ? 0 : first);  // an expert with many, others with none
    }
  }

  void make(Context& context) {
    const ln_moe_plan_args args = {ids, offsets, rows_of_pairs, tokens_of_rows, tokens, experts, top_k};
    context.reserve(LN_OP_MOE_PLAN, args);
    ASSERT_EQ(LN_OK, ln_moe_plan(context, &args)) << context.error();
  }
};

TEST(CudaMoe, PlanIsAStableSortInEverySchedule) {
  for (auto [tokens, experts, top_k] : {std::array<int64_t, 3>{1, 1, 1},
                                        {511, 7, 1},
                                        {512, 128, 1},
                                        {513, 40, 1},
                                        {1300, 60, 4},
                                        {300, 1024, 2},
                                        {300, 1025, 2},
                                        {257, 3000, 3}}) {
    for (int32_t schedule : tiers()) {
      Plan plan(tokens, experts, top_k);
      Context context(schedule);
      plan.make(context);
      std::vector<int32_t> next(static_cast<size_t>(experts) + 1);
      for (int64_t pair = 0; pair < plan.ids.size(); ++pair) ++next[plan.ids[pair] + 1];
      for (int64_t e = 0; e < experts; ++e) next[e + 1] += next[e];
      expect_identical(plan.offsets.data(), next.data(), experts + 1, "offsets");
      for (int64_t pair = 0; pair < plan.ids.size(); ++pair) {
        const int32_t row = next[plan.ids[pair]]++;
        ASSERT_EQ(row, plan.rows_of_pairs[pair]) << simd_name(schedule) << " pair " << pair;
        ASSERT_EQ(pair / top_k, plan.tokens_of_rows[row]) << simd_name(schedule) << " row " << row;
      }
    }
  }
}

TEST(CudaMoe, AnIdOutsideTheExpertsHasNoRowAndTheRestIsSorted) {
  for (int32_t schedule : tiers()) {
    Plan plan(5, 4, 2);
    const int32_t ids[10] = {3, -1, 0, 4, INT32_MIN, INT32_MAX, 1, 0, 3, 0};
    std::copy_n(ids, 10, plan.ids.data());
    Context context(schedule);
    plan.make(context);
    const int32_t offsets[5] = {0, 3, 4, 4, 6};
    const int32_t rows[10] = {4, -1, 0, -1, -1, -1, 3, 1, 5, 2};
    const int32_t tokens[10] = {1, 3, 4, 3, 0, 4, -1, -1, -1, -1};
    expect_identical(plan.offsets.data(), offsets, 5, "offsets");
    expect_identical(plan.rows_of_pairs.data(), rows, 10, "rows");
    expect_identical(plan.tokens_of_rows.data(), tokens, 10, "tokens");
  }
}

TEST(CudaMoe, RowsOutsideBecomeNaNOrAreLeftOut) {
  for (int32_t schedule : tiers()) {
    for (int64_t width : {3, 8}) {
      Context context(schedule);
      const int32_t index[3] = {1, -1, 2};
      Random random(1);
      Guarded<float> x(2 * width, random), y(3 * width, random), three(3 * width, random);
      ASSERT_EQ(LN_OK, ln_gather_rows(context, x, index, y, 3, 2, width));
      expect_identical(y.data(), x.data() + width, width, "the row that is there");
      for (int64_t i = width; i < 3 * width; ++i) EXPECT_TRUE(std::isnan(y[i]));

      Guarded<float> target(3 * width, random);
      Guarded<float> expected(target);
      const int32_t places[3] = {7, 0, -3};
      std::copy_n(three.data() + width, width, expected.data());
      ASSERT_EQ(LN_OK, ln_scatter_rows(context, three, places, target, 3, 3, width));
      expect_identical(target.data(), expected.data(), 3 * width, "scattered");

      const int32_t columns[2] = {static_cast<int32_t>(width), 0};
      float two[2] = {1, 1}, taken[2] = {};
      ASSERT_EQ(LN_OK, ln_gather_columns(context, x, columns, taken, 1, width, 2));
      EXPECT_TRUE(std::isnan(taken[0]));
      EXPECT_EQ(x[0], taken[1]);
      Guarded<float> changed(x);
      ASSERT_EQ(LN_OK, ln_add_columns(context, two, columns, changed, 1, width, 2));
      EXPECT_EQ(x[0] + 1, changed[0]);
      expect_identical(changed.data() + 1, x.data() + 1, 2 * width - 1, "other columns");

      const int32_t pairs[2] = {1, -1};
      float weights[2] = {0.5f, 0.5f}, dweights[2] = {};
      Guarded<float> sum(width), gradient(x);
      ASSERT_EQ(LN_OK, ln_moe_combine_fwd(context, x, pairs, weights, sum, 1, 2, width, 0));
      for (int64_t i = 0; i < width; ++i) EXPECT_TRUE(std::isnan(sum[i]));
      ASSERT_EQ(LN_OK, ln_moe_combine_bwd(context, three, x, pairs, weights, gradient, dweights, 1, 2, width));
      EXPECT_FALSE(std::isnan(dweights[0]));
      EXPECT_TRUE(std::isnan(dweights[1]));
      expect_identical(gradient.data(), x.data(), width, "a row that no pair has");
    }
  }
}

}  // namespace
}  // namespace ln::test
