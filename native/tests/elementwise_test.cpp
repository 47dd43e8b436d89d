#include "harness.hpp"

namespace ln::test {
namespace {

constexpr int64_t kSizes[] = {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 100, 16383, 16384, 40001};

TEST(Elementwise, AxpbyEqualsItsFormulaOnEveryTier) {
  for (int32_t simd : tiers()) {
    for (int64_t n : kSizes) {
      for (float beta : {0.0f, 1.0f, -0.5f}) {
        Context context(simd, 2);
        Random random(7);
        Guarded<float> x(n, random), y(n, random);
        std::vector<double> expected(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i) expected[i] = 1.25 * x[i] + beta * (double)y[i];
        if (beta == 0 && n > 0) y[0] = NAN;  // not read
        ASSERT_EQ(LN_OK, ln_axpby(context, 1.25f, x, beta, y, n)) << context.error();
        expect_close(y, expected, n, 3e-7, std::string("axpby ") + simd_name(simd));
      }
    }
  }
}

TEST(Elementwise, AxpbyRefusesBadArguments) {
  Context context;
  float y = 0;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_axpby(context, 1, &y, 0, &y, -1));
  EXPECT_EQ("ln_axpby: n is -1, must be at least 0", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_axpby(context, 1, nullptr, 0, &y, 1));
  EXPECT_EQ("ln_axpby: x is NULL", context.error());
}

}  // namespace
}  // namespace ln::test
