#include <algorithm>
#include <numeric>

#include "harness.hpp"

namespace ln::test {
namespace {

struct Shape {
  int64_t tokens, experts, top_k;
};

constexpr Shape kShapes[] = {{1, 1, 1},    {3, 2, 1},     {5, 3, 3},   {7, 7, 2},  {4, 8, 2},
                             {3, 15, 4},   {9, 16, 16},   {3, 17, 5},  {2, 31, 8}, {100, 60, 4},
                             {33, 128, 8}, {1500, 64, 8}, {2, 257, 33}};

/// The router of the header's comment, in float64.
struct Oracle {
  std::vector<double> probabilities, weights, log_sums;
  std::vector<int32_t> ids;

  Oracle(const std::vector<double>& logits, Shape shape, bool renormalise) {
    for (int64_t t = 0; t < shape.tokens; ++t) {
      const double* x = logits.data() + t * shape.experts;
      std::vector<int32_t> order(static_cast<size_t>(shape.experts));
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return x[a] > x[b]; });
      double total = 0, chosen = 0;
      for (int64_t e = 0; e < shape.experts; ++e) total += std::exp(x[e] - x[order[0]]);
      log_sums.push_back(x[order[0]] + std::log(total));
      for (int64_t e = 0; e < shape.experts; ++e) probabilities.push_back(std::exp(x[e] - x[order[0]]) / total);
      for (int64_t j = 0; j < shape.top_k; ++j) chosen += probabilities[t * shape.experts + order[j]];
      for (int64_t j = 0; j < shape.top_k; ++j) {
        ids.push_back(order[j]);
        weights.push_back(probabilities[t * shape.experts + order[j]] / (renormalise ? chosen : 1));
      }
    }
  }
};

/// Everything that ln_router_fwd writes.
struct Routing {
  Guarded<float> probabilities, weights;
  Guarded<int32_t> ids;
  Guarded<int64_t> counts;
  Guarded<double> sums;
  Guarded<float> log_sums;
  double square_sum = 0;

  explicit Routing(Shape s)
      : probabilities(s.tokens * s.experts),
        weights(s.tokens * s.top_k),
        ids(s.tokens * s.top_k),
        counts(s.experts),
        sums(s.experts),
        log_sums(s.tokens) {}

  ln_router_fwd_args args(const float* logits, Shape s, bool renormalise) {
    return {logits,      probabilities, ids,       weights, counts,      sums, log_sums,
            &square_sum, s.tokens,      s.experts, s.top_k, renormalise, 0};
  }
};

std::vector<double> in_double(const Guarded<float>& x) { return std::vector<double>(x.data(), x.data() + x.size()); }

TEST(Router, ForwardEqualsTheOracleAndCounts) {
  for (int32_t simd : tiers()) {
    for (Shape shape : kShapes) {
      for (bool renormalise : {false, true}) {
        const std::string what = std::string(simd_name(simd)) + " experts " + std::to_string(shape.experts);
        Random random(21);
        Guarded<float> logits(shape.tokens * shape.experts, random);
        for (int64_t i = 0; i < logits.size(); ++i) logits[i] *= 12;
        const Oracle oracle(in_double(logits), shape, renormalise);
        Routing routing(shape);
        std::vector<int64_t> counts(static_cast<size_t>(shape.experts));
        std::vector<double> sums(static_cast<size_t>(shape.experts));
        routing.square_sum = 2.5;
        for (int64_t e = 0; e < shape.experts; ++e) {
          counts[e] = routing.counts[e] = 100 + e;
          sums[e] = routing.sums[e] = 0.5;
        }
        const ln_router_fwd_args args = routing.args(logits, shape, renormalise);
        Context context(simd, 2);
        ASSERT_EQ(LN_OK, ln_router_fwd(context, &args)) << context.error();
        expect_identical(routing.ids.data(), oracle.ids.data(), routing.ids.size(), what + " ids");
        expect_close(routing.probabilities, oracle.probabilities, routing.probabilities.size(), 1e-6,
                     what + " probabilities");
        expect_close(routing.weights, oracle.weights, routing.weights.size(), 1e-6, what + " weights");
        for (int32_t id : oracle.ids) ++counts[id];
        for (size_t i = 0; i < oracle.probabilities.size(); ++i) sums[i % shape.experts] += oracle.probabilities[i];
        expect_identical(routing.counts.data(), counts.data(), shape.experts, what + " counts");
        expect_close(routing.sums, sums, shape.experts, 1e-6, what + " sums");
        expect_close(routing.log_sums, oracle.log_sums, shape.tokens, 1e-6, what + " logarithms");
        double square_sum = 2.5;
        for (double log_sum : oracle.log_sums) square_sum += log_sum * log_sum;
        EXPECT_NEAR(square_sum, routing.square_sum, 1e-6 * square_sum) << what;
      }
    }
  }
}

TEST(Router, ProbabilitiesMayReplaceLogitsAndStatisticsMayBeLeftOut) {
  for (int32_t simd : tiers()) {
    for (Shape shape : kShapes) {
      Random random(22);
      Guarded<float> logits(shape.tokens * shape.experts, random);
      Routing apart(shape), inside(shape);
      Context context(simd, 2);
      ln_router_fwd_args args = apart.args(logits, shape, true);
      ASSERT_EQ(LN_OK, ln_router_fwd(context, &args)) << context.error();
      args = inside.args(logits, shape, true);
      args.probabilities = logits;
      args.counts = nullptr;
      args.probability_sums = nullptr;
      args.log_sum_exp = nullptr;
      args.square_sum = nullptr;
      ASSERT_EQ(LN_OK, ln_router_fwd(context, &args)) << context.error();
      expect_identical(logits.data(), apart.probabilities.data(), logits.size(), "probabilities in place");
      expect_identical(inside.ids.data(), apart.ids.data(), apart.ids.size(), "ids in place");
      expect_identical(inside.weights.data(), apart.weights.data(), apart.weights.size(), "weights in place");
      for (int64_t e = 0; e < shape.experts; ++e) EXPECT_EQ(0, inside.counts[e]);
      for (int64_t t = 0; t < shape.tokens; ++t) EXPECT_EQ(0, inside.log_sums[t]);
    }
  }
}

TEST(Router, EqualLogitsGoToTheLowerNumberFirst) {
  constexpr Shape shape = {3, 37, 9};
  for (int32_t simd : tiers()) {
    Guarded<float> logits(shape.tokens * shape.experts);
    for (int64_t e = 0; e < shape.experts; ++e) {
      logits[e] = e % 2 == 0 ? 0.0f : -0.0f;               // all equal
      logits[37 + e] = e % 7 == 6 ? 5.25f : 1.0f;          // ties of the best
      logits[74 + e] = static_cast<float>(e / 4) * 1e-7f;  // neighbours whose exponentials round alike
    }
    Routing routing(shape);
    const ln_router_fwd_args args = routing.args(logits, shape, false);
    ASSERT_EQ(LN_OK, ln_router_fwd(Context(simd), &args));
    const int32_t expected[] = {0, 1, 2, 3, 4,  5,  6,  7,  8,  6,  13, 20, 27, 34,
                                0, 1, 2, 3, 36, 32, 33, 34, 35, 28, 29, 30, 31};
    expect_identical(routing.ids.data(), expected, 27, simd_name(simd));
    for (int64_t j = 1; j < 9; ++j) EXPECT_EQ(routing.weights[0], routing.weights[j]);
    for (int64_t j = 1; j < 5; ++j) EXPECT_EQ(routing.weights[9], routing.weights[9 + j]);
  }
}

TEST(Router, BadLogitsGiveNaNWeightsButDistinctExpertsInRange) {
  constexpr Shape shape = {5, 19, 19};
  for (int32_t simd : tiers()) {
    Guarded<float> logits(shape.tokens * shape.experts);
    for (int64_t e = 0; e < shape.experts; ++e) {
      logits[e] = NAN;
      logits[19 + e] = e == 4 ? NAN : static_cast<float>(e);
      logits[38 + e] = -INFINITY;
      logits[57 + e] = e % 3 == 0 ? INFINITY : 1.0f;
      logits[76 + e] = e == 11 ? 2.0f : -INFINITY;  // legal: masked experts
    }
    Routing routing(shape);
    const ln_router_fwd_args args = routing.args(logits, shape, true);
    ASSERT_EQ(LN_OK, ln_router_fwd(Context(simd), &args));
    for (int64_t t = 0; t < shape.tokens; ++t) {
      std::vector<int32_t> ids(routing.ids + t * 19, routing.ids + (t + 1) * 19);
      std::sort(ids.begin(), ids.end());
      for (int32_t e = 0; e < 19; ++e) EXPECT_EQ(e, ids[e]) << simd_name(simd) << " token " << t;
      EXPECT_EQ(t < 4, std::isnan(routing.weights[t * 19])) << simd_name(simd) << " token " << t;
    }
    EXPECT_EQ(18, routing.ids[19]);
    EXPECT_EQ(4, routing.ids[37]) << "NaN ranks last";
    EXPECT_EQ(11, routing.ids[76]);
    EXPECT_EQ(1.0f, routing.weights[76]);
    EXPECT_EQ(0.0f, routing.weights[77]);
  }
}

TEST(Router, IsTheSameForEveryThreadCount) {
  const Shape shape = {kCpu ? 3001 : 301, 60, 4};
  Random random(23);
  Guarded<float> logits(shape.tokens * shape.experts, random), dweights(shape.tokens * shape.top_k, random),
      dp(shape.experts, random);
  for (int32_t simd : tiers()) {
    Routing one(shape);
    Guarded<float> dlogits(logits.size());
    for (int threads : {1, 2, 3}) {
      Context context(simd, threads);
      Routing some(shape);
      Guarded<float> some_dlogits(logits.size());
      Routing& routing = threads == 1 ? one : some;
      Guarded<float>& gradient = threads == 1 ? dlogits : some_dlogits;
      const ln_router_fwd_args args = routing.args(logits, shape, true);
      ASSERT_EQ(LN_OK, ln_router_fwd(context, &args)) << context.error();
      const ln_router_bwd_args back = {
          routing.probabilities, routing.ids,   routing.weights, dweights, dp,  routing.log_sums, gradient,
          shape.tokens,          shape.experts, shape.top_k,     1,        0.5f};
      ASSERT_EQ(LN_OK, ln_router_bwd(context, &back)) << context.error();
      if (threads == 1) continue;
      expect_identical(some.probabilities.data(), one.probabilities.data(), logits.size(), "probabilities");
      expect_identical(some.ids.data(), one.ids.data(), one.ids.size(), "ids");
      expect_identical(some.weights.data(), one.weights.data(), one.weights.size(), "weights");
      expect_identical(some.counts.data(), one.counts.data(), shape.experts, "counts");
      expect_identical(some.sums.data(), one.sums.data(), shape.experts, "sums");
      expect_identical(some.log_sums.data(), one.log_sums.data(), shape.tokens, "logarithms");
      expect_identical(&some.square_sum, &one.square_sum, 1, "sum of squares");
      expect_identical(some_dlogits.data(), dlogits.data(), logits.size(), "dlogits");
    }
  }
}

TEST(Router, BackwardEqualsFiniteDifferences) {
  for (Shape shape :
       {Shape{1, 1, 1}, Shape{3, 2, 1}, Shape{3, 7, 2}, Shape{2, 17, 5}, Shape{2, 33, 8}, Shape{2, 5, 5}}) {
    for (bool renormalise : {false, true}) {
      for (int gradients = 0; gradients < 4; ++gradients) {
        const bool with_dprobabilities = gradients % 2 == 1, with_z = gradients / 2 == 1;
        constexpr double kZ = 0.3;
        Random random(24);
        Guarded<float> logits(shape.tokens * shape.experts, random), dweights(shape.tokens * shape.top_k, random),
            dp(shape.experts, random);
        for (int64_t i = 0; i < logits.size(); ++i) logits[i] *= 3;
        const auto loss = [&](const std::vector<double>& x) {
          const Oracle oracle(x, shape, renormalise);
          double total = 0;
          for (size_t i = 0; i < oracle.weights.size(); ++i) total += oracle.weights[i] * dweights[i];
          for (size_t i = 0; with_dprobabilities && i < x.size(); ++i)
            total += oracle.probabilities[i] * dp[i % shape.experts];
          for (size_t t = 0; with_z && t < oracle.log_sums.size(); ++t)
            total += kZ * oracle.log_sums[t] * oracle.log_sums[t];
          return total;
        };
        std::vector<double> x = in_double(logits), expected(x.size());
        for (size_t i = 0; i < x.size(); ++i) {
          const double here = x[i], step = 1e-5;
          x[i] = here + step;
          expected[i] = loss(x);
          x[i] = here - step;
          expected[i] = (expected[i] - loss(x)) / (2 * step);
          x[i] = here;
        }
        for (int32_t simd : tiers()) {
          Context context(simd, 2);
          Routing routing(shape);
          const ln_router_fwd_args args = routing.args(logits, shape, renormalise);
          ASSERT_EQ(LN_OK, ln_router_fwd(context, &args)) << context.error();
          Guarded<float> dlogits(logits.size());
          const ln_router_bwd_args back = {routing.probabilities,
                                           routing.ids,
                                           routing.weights,
                                           dweights,
                                           with_dprobabilities ? dp.data() : nullptr,
                                           with_z ? routing.log_sums.data() : nullptr,
                                           dlogits,
                                           shape.tokens,
                                           shape.experts,
                                           shape.top_k,
                                           renormalise,
                                           static_cast<float>(2 * kZ)};
          ASSERT_EQ(LN_OK, ln_router_bwd(context, &back)) << context.error();
          expect_close(dlogits, expected, logits.size(), 3e-6, std::string("dlogits ") + simd_name(simd), 0.1);
        }
      }
    }
  }
}

TEST(Router, ZeroTokensLeaveTheStatisticsAlone) {
  Context context;
  int64_t counts[2] = {3, 4};
  double sums[2] = {1, 2};
  const ln_router_fwd_args args = {nullptr, nullptr, nullptr, nullptr, counts, sums, nullptr, nullptr, 0, 2, 1, 0, 0};

  EXPECT_EQ(LN_OK, ln_router_fwd(context, &args)) << context.error();
  EXPECT_EQ(3, counts[0]);
  EXPECT_EQ(2.0, sums[1]);
  const ln_router_bwd_args back = {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0, 2, 1, 0, 0};
  EXPECT_EQ(LN_OK, ln_router_bwd(context, &back)) << context.error();
}

TEST(Router, RefusesBadArguments) {
  Context context;
  constexpr Shape shape = {2, 4, 2};
  Guarded<float> logits(8);
  Routing routing(shape);
  const auto refuse = [&](auto change, const char* error) {
    ln_router_fwd_args args = routing.args(logits, shape, true);
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_router_fwd(context, &args));
    EXPECT_EQ(error, context.error());
  };
  refuse([](auto& a) { a.top_k = 5; }, "ln_router_fwd: top_k is 5, must be at most 4");
  refuse([](auto& a) { a.top_k = 0; }, "ln_router_fwd: top_k is 0, must be at least 1");
  refuse([](auto& a) { a.experts = 0; }, "ln_router_fwd: experts is 0, must be at least 1");
  refuse([](auto& a) { a.tokens = -1; }, "ln_router_fwd: tokens is -1, must be at least 0");
  refuse([](auto& a) { a.renormalise = 7; }, "ln_router_fwd: renormalise is 7, must be 0 or 1");
  refuse([](auto& a) { a.counts = nullptr; },
         "ln_router_fwd: counts and probability_sums must both be given or both be NULL");
  refuse([](auto& a) { a.log_sum_exp = nullptr; }, "ln_router_fwd: square_sum needs log_sum_exp, which is NULL");
  refuse([](auto& a) { a.logits = nullptr; }, "ln_router_fwd: logits is NULL");
  refuse([](auto& a) { a.ids = nullptr; }, "ln_router_fwd: ids is NULL");
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_router_fwd(context, nullptr));
  EXPECT_EQ("ln_router_fwd: args is NULL", context.error());
  ln_router_bwd_args back = {
      routing.probabilities, routing.ids, routing.weights, nullptr, nullptr, nullptr, logits, 2, 4, 2, 0, 0};
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_router_bwd(context, &back));
  EXPECT_EQ("ln_router_bwd: dweights is NULL", context.error());
  back.log_sum_exp = routing.log_sums;
  back.z_scale = INFINITY;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_router_bwd(context, &back));
  EXPECT_EQ("ln_router_bwd: z_scale is not finite", context.error());
  back.top_k = 9;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_router_bwd(context, &back));
  EXPECT_EQ("ln_router_bwd: top_k is 9, must be at most 4", context.error());
}

// Two layers of six tokens, four experts, top 2; loss and gradients of 0.25 * loss by load_balancing_loss_func of
// transformers 5.18 with torch 2.13 in float32.
constexpr float kLayerLogits[2][24] = {
    {-1.125f, 2.75f,  -3.125f, 2.75f,   3.5f,   2.125f, 2.5f,    -2.5f,  1.25f,  -1.625f, -3.5f, -0.875f,
     1,       -1.25f, -2,      -0.125f, 1.625f, -6.25f, -1.875f, 3.125f, 1.375f, 3.25f,   0.75f, 1.875f},
    {5.125f, 1.125f,  -3.875f, 3.75f,  1.25f,  1,       0.125f,  0.5f,   5.375f, -2,     -2,      -0.875f,
     0.5f,   -3.125f, -1.375f, 2.625f, 2.375f, -0.125f, -1.125f, -1.75f, 4.875f, 1.625f, -1.375f, 0.75f}};
constexpr double kBalancingLoss = 2.7766876;
constexpr float kLayerGradients[2][24] = {
    {0.000247272837f,  -0.00524467882f, -5.32879931e-05f, 0.00505069364f,  0.0120716561f,    -0.00235636113f,
     -0.00972400513f,  8.71321117e-06f, 0.00296385726f,   -0.00148656196f, -0.000430862914f, -0.00104643113f,
     0.00515107205f,   -0.00193011737f, -0.00184626668f,  -0.00137468625f, 0.00211110828f,   -1.59197032e-06f,
     -0.000278638501f, -0.00183087762f, 0.0030023416f,    -0.00375271775f, -0.00184010528f,  0.00259048073f},
    {0.00257112947f,  -0.000453160115f, -5.74990554e-06f, -0.00211222214f,  0.00812273659f,   -0.00417229207f,
     -0.00524033885f, 0.00128989678f,   8.71847878e-05f,  -2.16376375e-05f, -3.89914603e-05f, -2.65584549e-05f,
     0.00138947042f,  -5.98341467e-05f, -0.000790244958f, -0.000539393106f, 0.00389668555f,   -0.00220589177f,
     -0.00155483978f, -0.000135955852f, 0.00151434133f,   -0.00121516571f,  -0.000111237874f, -0.000187936297f}};

TEST(Router, LoadBalancingLossAndItsGradientEqualThoseOfTransformers) {
  constexpr Shape shape = {6, 4, 2};
  for (int32_t simd : tiers()) {
    Context context(simd);
    Routing layers[2] = {Routing(shape), Routing(shape)};
    for (int layer = 0; layer < 2; ++layer) {
      ln_router_fwd_args args = layers[layer].args(kLayerLogits[layer], shape, true);
      args.counts = layers[0].counts;
      args.probability_sums = layers[0].sums;
      ASSERT_EQ(LN_OK, ln_router_fwd(context, &args)) << context.error();
    }
    double loss = 0;
    Guarded<float> dprobabilities(4);
    ASSERT_EQ(LN_OK,
              ln_load_balancing_loss(context, layers[0].counts, layers[0].sums, 4, 12, 0.25f, &loss, dprobabilities));
    EXPECT_NEAR(kBalancingLoss, loss, 1e-6);
    double again = 0;
    ASSERT_EQ(LN_OK, ln_load_balancing_loss(context, layers[0].counts, layers[0].sums, 4, 12, 0.25f, &again, nullptr));
    EXPECT_EQ(loss, again);
    const Guarded<float> no_dweights(12);
    for (int layer = 0; layer < 2; ++layer) {
      Guarded<float> dlogits(24);
      const ln_router_bwd_args back = {layers[layer].probabilities,
                                       layers[layer].ids,
                                       layers[layer].weights,
                                       no_dweights,
                                       dprobabilities,
                                       nullptr,
                                       dlogits,
                                       6,
                                       4,
                                       2,
                                       1,
                                       0};
      ASSERT_EQ(LN_OK, ln_router_bwd(context, &back)) << context.error();
      expect_close(dlogits, kLayerGradients[layer], 24, 1e-6, std::string("gradient ") + simd_name(simd));
    }
  }
}

TEST(Router, LoadBalancingLossRefusesBadArguments) {
  Context context;
  int64_t counts[1] = {};
  double sums[1] = {}, loss = 0;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_load_balancing_loss(context, counts, sums, 1, 0, 1, &loss, nullptr));
  EXPECT_EQ("ln_load_balancing_loss: router_rows is 0, must be at least 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_load_balancing_loss(context, counts, sums, 0, 1, 1, &loss, nullptr));
  EXPECT_EQ("ln_load_balancing_loss: experts is 0, must be at least 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_load_balancing_loss(context, counts, sums, 1, 1, INFINITY, &loss, nullptr));
  EXPECT_EQ("ln_load_balancing_loss: coefficient is not finite", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_load_balancing_loss(context, nullptr, sums, 1, 1, 1, &loss, nullptr));
  EXPECT_EQ("ln_load_balancing_loss: counts is NULL", context.error());
}

}  // namespace
}  // namespace ln::test
