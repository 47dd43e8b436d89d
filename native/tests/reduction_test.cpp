#include "harness.hpp"

namespace ln::test {
namespace {

constexpr int64_t kSizes[] = {0, 1, 3, 7, 15, 16, 17, 31, 33, 100, 4095, 4096, 4097, 40001, 1100003};

TEST(Reduction, SumsEqualTheOracle) {
  for (int32_t simd : tiers()) {
    for (int64_t n : kSizes) {
      Context context(simd, 2);
      Random random(51);
      Guarded<float> x(n, random);
      long double sum = 0, squares = 0, size = 0;
      for (int64_t i = 0; i < n; ++i) {
        sum += x[i];
        size += std::abs(x[i]);
        squares += static_cast<long double>(x[i]) * x[i];
      }
      double result = NAN;
      ASSERT_EQ(LN_OK, ln_sum(context, x, n, &result)) << context.error();
      EXPECT_NEAR(static_cast<double>(sum), result, static_cast<double>(size) * 1e-14) << simd_name(simd) << " n " << n;
      result = NAN;
      ASSERT_EQ(LN_OK, ln_sum_of_squares(context, x, n, &result)) << context.error();
      EXPECT_NEAR(static_cast<double>(squares), result, static_cast<double>(squares) * 1e-14)
          << simd_name(simd) << " n " << n;
    }
  }
}

TEST(Reduction, SumsAreTheSameForEveryTierAndThreadCount) {
  for (int64_t n : kSizes) {
    Random random(52);
    Guarded<float> x(n, random);
    double sum = 0, squares = 0;
    ASSERT_EQ(LN_OK, ln_sum(Context(LN_SIMD_REFERENCE, 1), x, n, &sum));
    ASSERT_EQ(LN_OK, ln_sum_of_squares(Context(LN_SIMD_REFERENCE, 1), x, n, &squares));
    for (int32_t simd : tiers()) {
      for (int threads : {1, 2, 3}) {
        Context context(simd, threads);
        double result = NAN;
        ASSERT_EQ(LN_OK, ln_sum(context, x, n, &result));
        expect_identical(&result, &sum, 1, std::string("sum ") + simd_name(simd));
        ASSERT_EQ(LN_OK, ln_sum_of_squares(context, x, n, &result));
        expect_identical(&result, &squares, 1, std::string("sum of squares ") + simd_name(simd));
      }
    }
  }
}

TEST(Reduction, SquaresOfLargeFloatsDoNotOverflow) {
  for (int32_t simd : tiers()) {
    std::vector<float> x(50, 3e38f);
    double result = 0;
    ASSERT_EQ(LN_OK, ln_sum_of_squares(Context(simd), x.data(), 50, &result));
    EXPECT_NEAR(1, result / (50 * static_cast<double>(3e38f) * 3e38f), 1e-14) << simd_name(simd);
    x[20] = NAN;
    ASSERT_EQ(LN_OK, ln_sum(Context(simd), x.data(), 50, &result));
    EXPECT_TRUE(std::isnan(result)) << simd_name(simd);
  }
}

TEST(Reduction, RefusesBadArguments) {
  Context context;
  float x = 0;
  double result = 0;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_sum(context, &x, -1, &result));
  EXPECT_EQ("ln_sum: n is -1, must be at least 0", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_sum(context, nullptr, 1, &result));
  EXPECT_EQ("ln_sum: x is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_sum_of_squares(context, &x, 1, nullptr));
  EXPECT_EQ("ln_sum_of_squares: result is NULL", context.error());
  EXPECT_EQ(LN_OK, ln_sum_of_squares(context, nullptr, 0, &result));
}

}  // namespace
}  // namespace ln::test
