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

TEST(Elementwise, ClampKeepsValuesInsideAndTheirGradients) {
  for (int32_t simd : tiers()) {
    for (int64_t n : kSizes) {
      Context context(simd, 2);
      Random random(11);
      Guarded<float> x(n, random), dy(n, random);
      std::vector<float> clamped(static_cast<size_t>(n)), gradient(static_cast<size_t>(n));
      for (int64_t i = 0; i < n; ++i) {
        if (i % 10 == 3) x[i] = i % 20 == 3 ? 0.5f : -0.5f;  // at the limit
        if (i % 10 == 7) x[i] = i % 20 == 7 ? INFINITY : -INFINITY;
        clamped[i] = std::fmin(std::fmax(x[i], -0.5f), 0.5f);
        gradient[i] = std::fabs(x[i]) >= 0.5f ? 0 : dy[i];
      }
      const std::string what = std::string("clamp ") + simd_name(simd);
      ASSERT_EQ(LN_OK, ln_clamp_fwd(context, x, n, 0.5f)) << context.error();
      expect_identical(x.data(), clamped.data(), n, what);
      ASSERT_EQ(LN_OK, ln_clamp_bwd(context, x, dy, n, 0.5f)) << context.error();
      expect_identical(dy.data(), gradient.data(), n, what + " backward");
    }
  }
}

TEST(Elementwise, ClampDoesNotHideNaN) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    std::vector<float> x(21, NAN);
    ASSERT_EQ(LN_OK, ln_clamp_fwd(context, x.data(), 21, 1));
    for (float value : x) EXPECT_TRUE(std::isnan(value)) << simd_name(simd);
  }
}

TEST(Elementwise, ClampRefusesBadArguments) {
  Context context;
  float x = 0;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_clamp_fwd(context, &x, 1, -2));
  EXPECT_EQ("ln_clamp_fwd: limit is -2.000000, must be at least 0", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_clamp_fwd(context, &x, 1, NAN));
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_clamp_fwd(context, nullptr, 1, 2));
  EXPECT_EQ("ln_clamp_fwd: x is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_clamp_bwd(context, &x, nullptr, 1, 2));
  EXPECT_EQ("ln_clamp_bwd: dy is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_clamp_bwd(context, &x, &x, -3, 2));
  EXPECT_EQ("ln_clamp_bwd: n is -3, must be at least 0", context.error());
}

}  // namespace
}  // namespace ln::test
