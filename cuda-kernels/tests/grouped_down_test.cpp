// The down projection's backward pass in bfloat16, where rows are found through a table and what is made of the product
// is made in it: as its parts give it, with scores that change no rounding.
#include "down_cases.hpp"
#include "product_cases.hpp"

namespace ln::test {
namespace {

using down::Case;
using down::Fixture;
using down::Results;

/// The rows of a tile follow from the mean of the rows per expert.
const std::vector<int64_t> kOf16 = {3, 0, 31, 1, 0, 16, 17, 0}, kOf32 = {33, 0, 1, 65, 3, 30};
const std::vector<int64_t> kOf64 = {65, 0, 63, 64, 3, 129}, kOf128 = {300, 0, 129, 641};
const std::vector<int32_t> kRanks = {3, 0, 16, 1, 8, 5, 0, 40};

std::vector<Case> cases() {
  std::vector<Case> all = {{{{1}, {8}, 40, 64, 8, LN_NF4}, 1},
                           {{kOf16, {8}, 136, 64, 8, LN_NF4}, 2},
                           {{kOf16, kRanks, 33, 37, 40, LN_NF4}, 4},
                           {{kOf16, kRanks, 72, 136, 40, LN_BF16}, 2},
                           {{kOf32, {}, 129, 72, 0, LN_FP4}, 3},
                           {{kOf32, {16}, 31, 63, 16, LN_F16}, 2, LN_GELU_TANH},
                           {{kOf64, {16, 8}, 136, 72, 16, LN_NF4}, 4},
                           {{kOf64, {}, 40, 136, 0, LN_F32}, 2},
                           {{kOf64, {3}, 257, 40, 3, LN_BF16, false, 0, true}, 2},
                           {{kOf128, {16, 8}, 72, 72, 16, LN_NF4}, 2},
                           {{kOf128, {3, 0, 5, 17}, 41, 35, 20, LN_FP4}, 5},
                           {{{700, 0}, {16}, 40, 72, 16, LN_BF16}, 4},
                           {{{0, 600}, {}, 64, 40, 0, LN_F16}, 8, LN_GELU_ERF}};
  for (Case& x : all) x.powers = true;
  return all;
}

/// Of the gradient of a score through outputs that were made of rounded numbers: of 2^-8 of each of many terms.
constexpr double kRounding = 2e-3;

TEST(CudaGroupedDown, EqualsItsPartsInBfloat16) {
  int32_t number = 0;
  for (const Case& x : cases()) {
    const int32_t schedule = number++ % 3;
    Context context(product_options(schedule, LN_PRECISION_BF16));
    down::expect_parts(context, x, x.text(schedule), kRounding);
    if (HasFailure()) return;
  }
}

TEST(CudaGroupedDown, SameBytesForEverySchedule) {
  for (const Case& x : {cases()[2], cases()[6], cases()[10]}) {
    Context first(product_options(0, LN_PRECISION_BF16)), second(product_options(2, LN_PRECISION_BF16));
    const Results expected = Fixture(x).run(first), actual = Fixture(x).run(second);
    EXPECT_EQ(expected.dscores, actual.dscores);
    EXPECT_EQ(expected.dgate, actual.dgate);
    EXPECT_EQ(expected.dup, actual.dup);
    EXPECT_EQ(expected.gradients, actual.gradients);
  }
}

/// What the CPU library refuses: the rows concerned become NaN, the others are computed.
TEST(CudaGroupedDown, WhatCannotBeRefusedIsNotANumber) {
  const auto run = [](auto change, int64_t first_wrong, int64_t last_wrong) {
    for (int32_t precision : {LN_PRECISION_F32, LN_PRECISION_BF16}) {
      Context context(product_options(0, precision));
      Fixture f({{{4, 0, 4, 20}, {2}, 24, 40, 2, LN_NF4, false, 0, true}, 2});
      change(f);
      const Results results = f.run(context);
      for (int64_t pair = 0; pair < f.rows; ++pair) {
        const int64_t row = f.rows_of_pairs[pair];
        const bool inside = row < f.rows, wrong = !inside || (row >= first_wrong && row < last_wrong);
        ASSERT_EQ(wrong, std::isnan(results.dscores[static_cast<size_t>(pair)])) << row;
        for (int64_t j = 0; inside && j < 24; ++j) {
          ASSERT_EQ(wrong, std::isnan(results.dgate[static_cast<size_t>(row * 24 + j)])) << row;
          ASSERT_EQ(wrong, std::isnan(results.dup[static_cast<size_t>(row * 24 + j)])) << row;
        }
      }
    }
  };
  run([](Fixture&) {}, 0, 0);
  run([](Fixture& f) { f.layer.weight_table[2] = nullptr; }, 4, 8);
  run([](Fixture& f) { f.layer.weights[0].quantized()->elements = 961; }, 0, 4);
  run([](Fixture& f) { f.layer.ranks[2] = 3; }, 4, 8);
  run([](Fixture& f) { f.layer.b_table[3] = nullptr; }, 8, 28);
  run([](Fixture& f) { f.rows_of_pairs[5] = 28; }, 0, 0);
}

}  // namespace
}  // namespace ln::test
