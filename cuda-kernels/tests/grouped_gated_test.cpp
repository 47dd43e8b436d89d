// The gated half of experts in bfloat16, where both wide products are one kernel and the gradients are made with their
// copies: as its parts give it, which have tests of their own.
#include "gated_cases.hpp"
#include "product_cases.hpp"

namespace ln::test {
namespace {

using gated::Case;
using gated::Fixture;
using gated::Results;

/// The rows of a tile follow from the mean of the rows per expert.
const std::vector<int64_t> kOf16 = {3, 0, 31, 1, 0, 16, 17, 0}, kOf32 = {33, 0, 1, 65, 3, 31};
const std::vector<int64_t> kOf64 = {65, 0, 63, 64, 3, 129}, kOf128 = {300, 0, 129, 640};
const std::vector<int32_t> kRanks = {3, 0, 16, 1, 8, 5, 0, 40};

std::vector<Case> cases() {
  return {{{{1}, {8}, 64, 40, 8, LN_NF4}, {8}, 8},
          {{kOf16, {8}, 64, 136, 8, LN_NF4}, {8}, 8},
          {{kOf16, kRanks, 37, 33, 40, LN_NF4}, {16, 0}, 16},
          {{kOf16, kRanks, 136, 72, 40, LN_BF16}, {}, 0},
          {{kOf32, {}, 72, 129, 0, LN_FP4}, kRanks, 40},
          {{kOf32, {16}, 63, 31, 16, LN_F16}, {16}, 16, LN_GELU_TANH},
          {{kOf64, {16, 8}, 72, 136, 16, LN_NF4}, {16, 8}, 16},
          {{kOf64, {}, 136, 40, 0, LN_F32}, {}, 0},
          {{kOf128, {16, 8}, 72, 72, 16, LN_NF4}, {16, 8}, 16},
          {{kOf128, {3, 0, 5, 17}, 35, 41, 20, LN_FP4}, {4}, 4},
          {{{700, 0}, {16}, 72, 40, 16, LN_BF16}, {8}, 8},
          {{{0, 600}, {}, 40, 64, 0, LN_F16}, {8}, 8, LN_GELU_ERF}};
}

TEST(CudaGroupedGated, EqualsItsPartsInBfloat16) {
  int32_t number = 0;
  for (const Case& x : cases()) {
    const int32_t schedule = number++ % 3;
    Context context(product_options(schedule, LN_PRECISION_BF16));
    gated::expect_parts(context, x, x.text(schedule));
    if (HasFailure()) return;
  }
}

TEST(CudaGroupedGated, SameBytesForEverySchedule) {
  for (const Case& x : {cases()[2], cases()[9]}) {
    Context first(product_options(0, LN_PRECISION_BF16)), second(product_options(2, LN_PRECISION_BF16));
    const Results expected = Fixture(x).run(first), actual = Fixture(x).run(second);
    EXPECT_EQ(expected.y, actual.y);
    EXPECT_EQ(expected.dgate, actual.dgate);
    EXPECT_EQ(expected.dx, actual.dx);
    EXPECT_EQ(expected.gate_gradients, actual.gate_gradients);
    EXPECT_EQ(expected.up_gradients, actual.up_gradients);
  }
}

TEST(CudaGroupedGated, TakesGradientsThatAreMadeAlready) {
  Context context(product_options(0, LN_PRECISION_BF16));
  for (const Case& x : {cases()[2], cases()[6], cases()[9]}) gated::expect_gradients_taken(context, x, x.text(0));
}

/// What the CPU library refuses: the experts concerned become NaN, the others are computed.
TEST(CudaGroupedGated, WhatCannotBeRefusedIsNotANumber) {
  const auto run = [](auto change, int64_t first_wrong, int64_t last_wrong) {
    for (int32_t precision : {LN_PRECISION_F32, LN_PRECISION_BF16}) {
      Context context(product_options(0, precision));
      Fixture f({{{4, 0, 3, 20}, {2}, 40, 24, 2, LN_NF4}, {2}, 2});
      change(f);
      const Results results = f.run(context);
      for (int64_t row = 0; row < f.gate.rows; ++row) {
        const bool wrong = row >= first_wrong && row < last_wrong;
        for (int64_t j = 0; j < 24; ++j)
          ASSERT_EQ(wrong, std::isnan(results.y[static_cast<size_t>(row * 24 + j)])) << row;
        for (int64_t j = 0; j < 40; ++j)
          ASSERT_EQ(wrong, std::isnan(results.dx[static_cast<size_t>(row * 40 + j)])) << row;
      }
    }
  };
  run([](Fixture&) {}, 0, 0);
  run([](Fixture& f) { f.gate.weight_table[2] = nullptr; }, 4, 7);
  run([](Fixture& f) { f.up.weight_table[3] = nullptr; }, 7, 27);
  run([](Fixture& f) { f.up.weights[0].quantized()->elements = 961; }, 0, 4);
  run([](Fixture& f) { f.up.ranks[2] = 3; }, 4, 7);
  run([](Fixture& f) { f.gate.b_table[2] = nullptr; }, 4, 7);
}

}  // namespace
}  // namespace ln::test
