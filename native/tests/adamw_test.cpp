#include "harness.hpp"

namespace ln::test {
namespace {

constexpr float kHalf = 0.5f;

struct State {
  Guarded<float> parameters, first_moments, second_moments;

  explicit State(int64_t n) : parameters(n), first_moments(n), second_moments(n) {}
  State(int64_t n, Random& random) : parameters(n, random), first_moments(n, random), second_moments(n, random) {
    for (int64_t i = 0; i < n; ++i) second_moments[i] *= second_moments[i];
  }

  ln_adamw_args args(const float* gradients, int64_t step) {
    return {.parameters = parameters,
            .gradients = gradients,
            .first_moments = first_moments,
            .second_moments = second_moments,
            .gradient_scale = &kHalf,
            .n = parameters.size(),
            .step = step,
            .learning_rate = 1e-2,
            .beta1 = 0.9,
            .beta2 = 0.95,
            .epsilon = 1e-8,
            .weight_decay = 0.1};
  }
};

void expect_state(const State& actual, const State& expected, const std::string& what) {
  const int64_t n = expected.parameters.size();
  expect_identical(actual.parameters.data(), expected.parameters.data(), n, what + " parameters");
  expect_identical(actual.first_moments.data(), expected.first_moments.data(), n, what + " first moments");
  expect_identical(actual.second_moments.data(), expected.second_moments.data(), n, what + " second moments");
}

TEST(Adamw, StepEqualsTheFormulaOnEveryTier) {
  for (int32_t simd : tiers()) {
    for (int64_t n : {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 100, 16385, 40001}) {
      for (double beta1 : {0.0, 0.3, 0.9}) {
        Context context(simd, 2);
        Random random(61);
        State state(n, random);
        Guarded<float> gradients(n, random);
        std::vector<double> p(static_cast<size_t>(n)), m(p.size()), v(p.size());
        for (int64_t i = 0; i < n; ++i) {
          const double g = 0.5 * gradients[i];
          m[i] = beta1 * state.first_moments[i] + (1 - beta1) * g;
          v[i] = 0.95 * state.second_moments[i] + (1 - 0.95) * g * g;
          p[i] = state.parameters[i] * (1 - 1e-2 * 0.1);
          p[i] -= 1e-2 / (1 - std::pow(beta1, 7)) * m[i] / (std::sqrt(v[i]) / std::sqrt(1 - std::pow(0.95, 7)) + 1e-8);
        }
        ln_adamw_args args = state.args(gradients, 7);
        args.beta1 = beta1;
        ASSERT_EQ(LN_OK, ln_adamw(context, &args)) << context.error();
        expect_close(state.first_moments, m, n, 3e-7, std::string("first moments ") + simd_name(simd));
        expect_close(state.second_moments, v, n, 3e-7, std::string("second moments ") + simd_name(simd));
        expect_close(state.parameters, p, n, 3e-7, std::string("parameters ") + simd_name(simd), 1);
      }
    }
  }
}

// Three steps of torch.optim.AdamW (torch 2.13, foreach=False) with the arguments of State::args, gradients halved
// before each step.
constexpr int64_t kGolden = 11;
constexpr float kBefore[kGolden] = {0.5f, -1.25f, 3, 0, 1e-3f, -7.5f, 2, 0.1f, -0.3f, 100, 1e-6f};
constexpr float kGradients[3][kGolden] = {
    {0.803276062f, 0.174833387f, 0.0889780968f, 0, 0.0461824499f, -1.36825919f, 0.337495089f, 1.01111591f, -1.43517935f,
     0.977431774f, 9.99999972e-10f},
    {1.23791671f, -0.864635587f, 0.298960835f, 0.419218659f, -0.0798543245f, 0.926410854f, 0.815677524f, 0.495189011f,
     -0.164316982f, -0.677962184f, 9.99999972e-10f},
    {0.747696638f, 0.23891741f, -0.392150223f, 0.151914895f, -1.18373322f, 0.534360707f, -1.45102274f, -0.629374027f,
     0.154415101f, -0.247990161f, 9.99999972e-10f}};
constexpr float kParameters[kGolden] = {0.46897617f,     -1.24756145f, 2.97272992f,    -0.014908067f,
                                        0.000479381066f, -7.46713305f, 1.97632122f,    0.0771874115f,
                                        -0.276315957f,   99.689415f,   -0.00142614637f};
constexpr float kFirstMoments[kGolden] = {0.125623763f,   -0.0198819805f,  -0.0025506604f, 0.0264605843f,
                                          -0.0609097183f, 0.0129920254f,   -0.0221770965f, 0.031764999f,
                                          -0.0577982739f, -0.00332181924f, 1.355e-10f};
constexpr float kSecondMoments[kGolden] = {0.0324650817f, 0.00993603654f, 0.0030729461f,  0.00237543997f,
                                           0.0176150892f, 0.0348808318f,  0.035504099f,   0.0193967372f,
                                           0.0238551162f, 0.017004678f,   3.56562504e-20f};

TEST(Adamw, ThreeStepsEqualThoseOfTorch) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    State state(kGolden);
    std::copy_n(kBefore, kGolden, state.parameters.data());
    for (int64_t step = 1; step <= 3; ++step) {
      const ln_adamw_args args = state.args(kGradients[step - 1], step);
      ASSERT_EQ(LN_OK, ln_adamw(context, &args)) << context.error();
    }
    for (int64_t i = 0; i < kGolden; ++i) {
      const std::string what = std::string(simd_name(simd)) + " element " + std::to_string(i);
      EXPECT_NEAR(kParameters[i], state.parameters[i], 3e-7 * std::abs(kBefore[i]) + 1e-8) << what;
      EXPECT_NEAR(kFirstMoments[i], state.first_moments[i], 5e-7 * std::abs(kFirstMoments[i]) + 1e-9) << what;
      EXPECT_NEAR(kSecondMoments[i], state.second_moments[i], 5e-7 * kSecondMoments[i]) << what;
    }
  }
}

TEST(Adamw, WithoutMemoryTheFirstMomentIsTheGradientExactly) {
  for (int32_t simd : tiers()) {
    Random random(64);
    State state(37, random);
    const Guarded<float> gradients(37, random);
    std::vector<float> expected(37);
    for (int64_t i = 0; i < 37; ++i) {
      state.first_moments[i] = 1e12f;  // m + (g - m) would lose the gradient's digits
      expected[i] = 0.5f * gradients[i];
    }
    ln_adamw_args args = state.args(gradients, 2);
    args.beta1 = 0;
    ASSERT_EQ(LN_OK, ln_adamw(Context(simd), &args));
    expect_identical(state.first_moments.data(), expected.data(), 37, simd_name(simd));
  }
}

TEST(Adamw, IsTheSameForEveryThreadCount) {
  constexpr int64_t n = 50003;
  for (int32_t simd : tiers()) {
    Random random(62);
    const State start(n, random);
    const Guarded<float> gradients(n, random);
    State one = start;
    ln_adamw_args args = one.args(gradients, 3);
    ASSERT_EQ(LN_OK, ln_adamw(Context(simd, 1), &args));
    for (int threads : {2, 3}) {
      State other = start;
      args = other.args(gradients, 3);
      ASSERT_EQ(LN_OK, ln_adamw(Context(simd, threads), &args));
      expect_state(other, one, simd_name(simd));
    }
  }
}

TEST(Adamw, TakesNoStepByAScaleThatIsNotFinite) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    Random random(65);
    State state(1000, random);
    const State before = state;
    const Guarded<float> gradients(1000, random);
    for (const float scale : {NAN, INFINITY, -INFINITY}) {
      ln_adamw_args args = state.args(gradients, 2);
      args.gradient_scale = &scale;
      ASSERT_EQ(LN_OK, ln_adamw(context, &args)) << context.error();
      expect_state(state, before, simd_name(simd));
    }
  }
}

TEST(Adamw, NoScaleIsOne) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    Random random(66);
    State state(100, random), other = state;
    const Guarded<float> gradients(100, random);
    const float one = 1;
    ln_adamw_args args = state.args(gradients, 2);
    args.gradient_scale = nullptr;
    ASSERT_EQ(LN_OK, ln_adamw(context, &args)) << context.error();
    args = other.args(gradients, 2);
    args.gradient_scale = &one;
    ASSERT_EQ(LN_OK, ln_adamw(context, &args)) << context.error();
    expect_state(state, other, simd_name(simd));
  }
}

TEST(GradientScale, LimitsTheNorm) {
  struct Case {
    double squares, max_norm;
    float scale;
  };
  constexpr Case kCases[] = {{25, 1, static_cast<float>(1 / (5 + 1e-6))},
                             {25, 10, 1},
                             {25, 0, 1},
                             {0, 1, 1},
                             {1e-14, 1e-7, static_cast<float>(1e-7 / (1e-7 + 1e-6))},
                             {1e60, 1, 1e-30f}};
  for (int32_t simd : tiers()) {
    Context context(simd);
    for (const Case& c : kCases) {
      Guarded<float> scale(1);
      ASSERT_EQ(LN_OK, ln_gradient_scale(context, &c.squares, 1, c.max_norm, scale)) << context.error();
      EXPECT_EQ(c.scale, scale[0]) << simd_name(simd) << " of " << c.squares << " to " << c.max_norm;
    }
  }
}

TEST(GradientScale, IsNoNumberWhereAnySumIsNone) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    for (int64_t count : {1, 2, 31, 32, 33, 100}) {
      Guarded<double> sums(count);
      for (int64_t i = 0; i < count; ++i) sums[i] = 4;
      Guarded<float> scale(1);
      for (int64_t at = 0; at < count; ++at) {
        for (const double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
          for (const double max_norm : {0.0, 1.0}) {
            sums[at] = bad;
            ASSERT_EQ(LN_OK, ln_gradient_scale(context, sums, count, max_norm, scale)) << context.error();
            EXPECT_TRUE(std::isnan(scale[0])) << simd_name(simd) << " " << at << " of " << count;
          }
        }
        sums[at] = 4;
      }
      ASSERT_EQ(LN_OK, ln_gradient_scale(context, sums, count, 1, scale)) << context.error();
      EXPECT_EQ(static_cast<float>(1 / (2 + 1e-6)), scale[0]) << simd_name(simd);
    }
  }
}

TEST(GradientScale, RefusesBadArguments) {
  Context context;
  const double sums[] = {1, 2};
  float scale = 7;
  const auto refuse = [&](int32_t status, const char* error) {
    EXPECT_EQ(LN_INVALID_ARGUMENT, status);
    EXPECT_EQ(error, context.error());
    EXPECT_EQ(7, scale);
  };
  refuse(ln_gradient_scale(context, nullptr, 1, 1, &scale), "ln_gradient_scale: sums is NULL");
  refuse(ln_gradient_scale(context, sums, 0, 1, &scale), "ln_gradient_scale: count is 0, must be at least 1");
  refuse(ln_gradient_scale(context, sums, 2, -1, &scale),
         "ln_gradient_scale: max_norm is -1.000000, must be at least 0");
  refuse(ln_gradient_scale(context, sums, 2, NAN, &scale), "ln_gradient_scale: max_norm is not finite");
  refuse(ln_gradient_scale(context, sums, 2, 1, nullptr), "ln_gradient_scale: scale is NULL");
}

TEST(Adamw, RefusesBadArgumentsAndWritesNothing) {
  Context context;
  Random random(63);
  State state(3, random);
  const State before = state;
  const Guarded<float> gradients(3, random);
  const auto refuse = [&](auto change, const char* error) {
    ln_adamw_args args = state.args(gradients, 1);
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_adamw(context, &args));
    EXPECT_EQ(error, context.error());
  };
  refuse([](auto& a) { a.step = 0; }, "ln_adamw: step is 0, must be at least 1");
  refuse([](auto& a) { a.n = -1; }, "ln_adamw: n is -1, must be at least 0");
  refuse([](auto& a) { a.learning_rate = NAN; }, "ln_adamw: learning_rate is not finite");
  refuse([](auto& a) { a.learning_rate = -1; }, "ln_adamw: learning_rate is -1.000000, must be at least 0");
  refuse([](auto& a) { a.beta1 = 1; }, "ln_adamw: beta1 is 1.000000, must be at least 0 and below 1");
  refuse([](auto& a) { a.beta2 = -0.5; }, "ln_adamw: beta2 is -0.500000, must be at least 0 and below 1");
  refuse([](auto& a) { a.epsilon = -1; }, "ln_adamw: epsilon is -1.000000, must be at least 0");
  refuse([](auto& a) { a.weight_decay = INFINITY; }, "ln_adamw: weight_decay is not finite");
  refuse([](auto& a) { a.gradient_scale = reinterpret_cast<const float*>(3); },
         "ln_adamw: gradient_scale is not aligned to 4 bytes");
  refuse([](auto& a) { a.gradients = nullptr; }, "ln_adamw: gradients is NULL");
  refuse([](auto& a) { a.second_moments = nullptr; }, "ln_adamw: second_moments is NULL");
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_adamw(context, nullptr));
  EXPECT_EQ("ln_adamw: args is NULL", context.error());
  expect_state(state, before, "refused");
}

}  // namespace
}  // namespace ln::test
