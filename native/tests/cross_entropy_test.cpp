#include <algorithm>

#include "harness.hpp"

namespace ln::test {
namespace {

double log_sum_exp(const double* logits, int64_t vocabulary) {
  const double largest = *std::max_element(logits, logits + vocabulary);
  double total = 0;
  for (int64_t i = 0; i < vocabulary; ++i) total += std::exp(logits[i] - largest);
  return std::log(total) + largest;
}

/// Loss of one row in float64.
double loss_of(const double* logits, int64_t vocabulary, int32_t label) {
  return log_sum_exp(logits, vocabulary) - logits[label];
}

struct Case {
  int64_t rows, vocabulary;
  Guarded<float> logits, losses;
  Guarded<int32_t> labels;

  Case(int64_t rows_in, int64_t vocabulary_in, float size)
      : rows(rows_in), vocabulary(vocabulary_in), logits(rows * vocabulary), losses(rows), labels(rows) {
    Random random(41);
    for (int64_t i = 0; i < logits.size(); ++i) logits[i] = random.uniform() * size;
    for (int64_t r = 0; r < rows; ++r) labels[r] = r % 4 == 2 ? -100 : static_cast<int32_t>(random.below(vocabulary));
  }

  int32_t run(ln_context* context, float scale, int32_t want_gradient) {
    return ln_cross_entropy(context, logits, labels, losses, rows, vocabulary, scale, want_gradient);
  }
};

TEST(CrossEntropy, LossAndGradientEqualTheOracle) {
  for (int32_t simd : tiers()) {
    for (int64_t vocabulary : {1, 2, 3, 7, 15, 16, 17, 31, 33, 100, 1023, 1024, 1025, 1055, 32003}) {
      for (float size : {0.1f, 30.0f}) {
        Context context(simd, 2);
        Case c(5, vocabulary, size);
        const Guarded<float> before = c.logits;
        std::vector<double> losses(5), gradient(static_cast<size_t>(c.logits.size()));
        for (int64_t r = 0; r < 5; ++r) {
          if (c.labels[r] == -100) continue;
          const std::vector<double> x(before + r * vocabulary, before + (r + 1) * vocabulary);
          const double total = log_sum_exp(x.data(), vocabulary);
          losses[r] = total - x[c.labels[r]];
          for (int64_t i = 0; i < vocabulary; ++i) {
            gradient[r * vocabulary + i] = 0.125 * (std::exp(x[i] - total) - (i == c.labels[r]));
          }
        }
        const std::string what = std::string(simd_name(simd)) + " vocabulary " + std::to_string(vocabulary);
        ASSERT_EQ(LN_OK, c.run(context, 0.125f, 0)) << context.error();
        expect_close(c.losses, losses, 5, 3e-7, what + " losses", 1);
        expect_identical(c.logits.data(), before.data(), c.logits.size(), what + " logits stay without gradient");
        const Guarded<float> losses_alone = c.losses;
        ASSERT_EQ(LN_OK, c.run(context, 0.125f, 1)) << context.error();
        expect_identical(c.losses.data(), losses_alone.data(), 5, what + " losses with gradient");
        expect_close(c.logits, gradient, c.logits.size(), 5e-7, what + " gradient");
      }
    }
  }
}

TEST(CrossEntropy, GradientEqualsFiniteDifferences) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    Case c(4, 37, 4);
    const float scale = 1.5f;
    std::vector<double> x(c.logits.data(), c.logits.data() + c.logits.size()), expected(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const int64_t r = static_cast<int64_t>(i) / 37;
      if (c.labels[r] == -100) continue;
      const double here = x[i], step = 1e-5;
      x[i] = here + step;
      const double above = loss_of(x.data() + r * 37, 37, c.labels[r]);
      x[i] = here - step;
      expected[i] = scale * (above - loss_of(x.data() + r * 37, 37, c.labels[r])) / (2 * step);
      x[i] = here;
    }
    ASSERT_EQ(LN_OK, c.run(context, scale, 1)) << context.error();
    expect_close(c.logits, expected, c.logits.size(), 1e-6, simd_name(simd));
  }
}

TEST(CrossEntropy, KeepsItsDigitsOverALargeVocabulary) {
  constexpr int64_t vocabulary = 151936;
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    Case c(2, vocabulary, 5);
    const std::vector<double> x(c.logits.data(), c.logits.data() + c.logits.size());
    ASSERT_EQ(LN_OK, c.run(context, 1, 1)) << context.error();
    for (int64_t r = 0; r < 2; ++r) {
      EXPECT_NEAR(loss_of(x.data() + r * vocabulary, vocabulary, c.labels[r]), c.losses[r], 3e-6) << simd_name(simd);
      double total = 0;
      for (int64_t i = 0; i < vocabulary; ++i) total += c.logits[r * vocabulary + i];
      EXPECT_NEAR(0, total, 1e-6) << "gradients of a row add up to 0";
    }
  }
}

TEST(CrossEntropy, HugeAndInfiniteLogits) {
  constexpr int64_t vocabulary = 19;
  for (int32_t simd : tiers()) {
    Context context(simd);
    Case c(4, vocabulary, 1);
    for (int64_t i = 0; i < vocabulary; ++i) {
      c.logits[i] = i == 3 ? 1e30f : -1e30f;
      c.logits[vocabulary + i] = i < 17 ? -INFINITY : 7.0f;  // masked entries
      c.logits[2 * vocabulary + i] = NAN;
      c.logits[3 * vocabulary + i] = i == 18 ? NAN : 0.0f;
    }
    c.labels[0] = 3;
    c.labels[1] = 18;
    c.labels[2] = -100;
    c.labels[3] = 0;
    ASSERT_EQ(LN_OK, c.run(context, 1, 1)) << context.error();
    EXPECT_EQ(0, c.losses[0]);
    EXPECT_NEAR(std::log(2.0), c.losses[1], 1e-7);
    EXPECT_EQ(0, c.losses[2]);
    EXPECT_TRUE(std::isnan(c.losses[3]));
    for (int64_t i = 0; i < vocabulary; ++i) {
      EXPECT_EQ(0, c.logits[i]);
      EXPECT_EQ(i < 17 ? 0.0f : i == 17 ? 0.5f : -0.5f, c.logits[vocabulary + i]);
      EXPECT_EQ(0, c.logits[2 * vocabulary + i]) << "an ignored row has no gradient, whatever its logits";
    }
    // A label that the logits exclude.
    c.logits[0] = -INFINITY;
    c.labels[0] = 0;
    ASSERT_EQ(LN_OK, c.run(context, 1, 0)) << context.error();
    EXPECT_EQ(INFINITY, c.losses[0]);
  }
}

TEST(CrossEntropy, IsTheSameForEveryThreadCount) {
  for (int32_t simd : tiers()) {
    Case one(13, 20011, 8);
    ASSERT_EQ(LN_OK, one.run(Context(simd, 1), 0.5f, 1));
    for (int threads : {2, 3}) {
      Case other(13, 20011, 8);
      ASSERT_EQ(LN_OK, other.run(Context(simd, threads), 0.5f, 1));
      expect_identical(other.losses.data(), one.losses.data(), 13, "losses");
      expect_identical(other.logits.data(), one.logits.data(), one.logits.size(), "gradient");
    }
  }
}

TEST(CrossEntropy, RefusesBadArgumentsAndWritesNothing) {
  Context context;
  for (int32_t bad : {-1, -99, -101, 5, INT32_MAX}) {
    if (!kCpu) break;  // the host does not read labels of a GPU
    Case c(3, 5, 1);
    const Guarded<float> before = c.logits;
    c.labels[2] = bad;
    c.losses[0] = 42;
    EXPECT_EQ(LN_INVALID_ARGUMENT, c.run(context, 1, 1));
    EXPECT_EQ("ln_cross_entropy: labels[2] is " + std::to_string(bad) + ", must be -100 or at least 0 and below 5",
              context.error());
    EXPECT_EQ(42, c.losses[0]);
    expect_identical(c.logits.data(), before.data(), before.size(), "logits");
  }
  float x = 0;
  const int32_t label = 0;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cross_entropy(context, &x, &label, &x, -1, 1, 1, 0));
  EXPECT_EQ("ln_cross_entropy: rows is -1, must be at least 0", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cross_entropy(context, &x, &label, &x, 1, 0, 1, 0));
  EXPECT_EQ("ln_cross_entropy: vocabulary is 0, must be at least 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cross_entropy(context, &x, &label, &x, 1, 1, NAN, 0));
  EXPECT_EQ("ln_cross_entropy: gradient_scale is not finite", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cross_entropy(context, &x, &label, &x, 1, 1, 1, -1));
  EXPECT_EQ("ln_cross_entropy: want_gradient is -1, must be 0 or 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cross_entropy(context, &x, nullptr, &x, 1, 1, 1, 0));
  EXPECT_EQ("ln_cross_entropy: labels is NULL", context.error());
  EXPECT_EQ(LN_OK, ln_cross_entropy(context, nullptr, nullptr, nullptr, 0, 1, 1, 1));
}

}  // namespace
}  // namespace ln::test
