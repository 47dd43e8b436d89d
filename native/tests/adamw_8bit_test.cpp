#include <algorithm>

#include "../abi/dynamic_codes.hpp"
#include "harness.hpp"

namespace ln::test {
namespace {

constexpr int64_t kBlock = 256;
constexpr float kHalf = 0.5f;

float signed_value(int code) {
  return code >= kSignedZero ? kSignedMagnitudes[code - kSignedZero] : -kSignedMagnitudes[kSignedZero - code];
}

/// The code nearest to r by looking at all of them; of two as near the even one.
template <typename Value>
int nearest(double r, Value value) {
  int best = 0;
  for (int code = 1; code < 256; ++code) {
    const double here = std::abs(value(code) - r), before = std::abs(value(best) - r);
    if (here < before || (here == before && code % 2 == 0)) best = code;
  }
  return best;
}

int nearest_signed(double r) {
  const int code = nearest(r, [](int c) { return static_cast<double>(signed_value(c)); });
  return r < 0 && code == kSignedZero ? kSignedZero - 1 : code;
}

int nearest_unsigned(double r) {
  return nearest(r, [](int c) { return static_cast<double>(kUnsignedMagnitudes[c]); });
}

/// By the middles between neighbours in float32; a tie takes the even code.
template <typename Value>
int nearest_by_middles(float r, Value value) {
  int code = 0;
  for (int c = 0; c < 255; ++c) {
    const float middle = (value(c) + value(c + 1)) * 0.5f;
    code += r > middle || (r == middle && c % 2 != 0);
  }
  return code;
}

struct State {
  Guarded<float> parameters, first_absmax, second_absmax;
  Guarded<uint8_t> first_moments, second_moments;

  explicit State(int64_t n)
      : parameters(n),
        first_absmax((n + kBlock - 1) / kBlock),
        second_absmax((n + kBlock - 1) / kBlock),
        first_moments(n),
        second_moments(n) {}

  ln_adamw_8bit_args args(const float* gradients, int64_t step) {
    return {.parameters = parameters,
            .gradients = gradients,
            .first_moments = first_moments,
            .second_moments = second_moments,
            .first_absmax = first_absmax,
            .second_absmax = second_absmax,
            .gradient_scale = &kHalf,
            .n = parameters.size(),
            .step = step,
            .learning_rate = 1e-2,
            .beta1 = 0.9,
            .beta2 = 0.95,
            .epsilon = 1e-8,
            .weight_decay = 0.1};
  }
  void fill(Random& random) {
    for (int64_t i = 0; i < parameters.size(); ++i) {
      parameters[i] = random.uniform();
      first_moments[i] = static_cast<uint8_t>(random.below(256));
      second_moments[i] = static_cast<uint8_t>(random.below(256));
    }
    for (int64_t b = 0; b < first_absmax.size(); ++b) {
      first_absmax[b] = std::abs(random.uniform());
      second_absmax[b] = std::abs(random.uniform());
    }
  }
};

void expect_state(const State& actual, const State& expected, const std::string& what) {
  const int64_t n = expected.parameters.size();
  expect_identical(actual.parameters.data(), expected.parameters.data(), n, what + " parameters");
  expect_identical(actual.first_moments.data(), expected.first_moments.data(), n, what + " first moments");
  expect_identical(actual.second_moments.data(), expected.second_moments.data(), n, what + " second moments");
  expect_identical(actual.first_absmax.data(), expected.first_absmax.data(), expected.first_absmax.size(), what);
  expect_identical(actual.second_absmax.data(), expected.second_absmax.data(), expected.second_absmax.size(), what);
}

/// The dynamic map by its definition: a decade 10^-i is cut into 2^(6-i) (signed) or 2^(7-i) parts, whose middles are
/// the values, and 0 and 1 besides.
TEST(Adamw8bit, CodesAreThoseOfTheDynamicMap) {
  for (bool of_first : {true, false}) {
    std::vector<double> values = {0, 1};
    for (int decade = 0; decade < 7; ++decade) {
      const int parts = 1 << (of_first ? 6 - decade : 7 - decade);
      for (int k = 0; k < parts; ++k) {
        values.push_back(std::pow(10.0, -decade) * (0.1 + 0.9 * (k + 0.5) / parts));
      }
    }
    std::sort(values.begin(), values.end());
    ASSERT_EQ(of_first ? 129u : 256u, values.size());
    for (size_t k = 0; k < values.size(); ++k) {
      const float value = of_first ? kSignedMagnitudes[k] : kUnsignedMagnitudes[k];
      EXPECT_NEAR(values[k], value, 3e-7 * values[k]) << k;
    }
  }
}

TEST(Adamw8bit, StepEqualsTheFormulaOnEveryTier) {
  for (int32_t simd : tiers()) {
    for (int64_t n : {0, 1, 7, 33, 255, 256, 257, 1000, 5001, 8192}) {
      Context context(simd, 2);
      Random random(71);
      State state(n);
      state.fill(random);
      const Guarded<float> gradients(n, random);
      std::vector<double> p(static_cast<size_t>(n)), m(p.size()), v(p.size());
      for (int64_t i = 0; i < n; ++i) {
        const double g = 0.5 * gradients[i];
        m[i] = 0.9 * signed_value(state.first_moments[i]) * state.first_absmax[i / kBlock] + 0.1 * g;
        v[i] = 0.95 * kUnsignedMagnitudes[state.second_moments[i]] * state.second_absmax[i / kBlock] + 0.05 * g * g;
        p[i] = state.parameters[i] * (1 - 1e-2 * 0.1);
        p[i] -= 1e-2 / (1 - std::pow(0.9, 7)) * m[i] / (std::sqrt(v[i]) / std::sqrt(1 - std::pow(0.95, 7)) + 1e-8);
      }
      const ln_adamw_8bit_args args = state.args(gradients, 7);
      ASSERT_EQ(LN_OK, ln_adamw_8bit(context, &args)) << context.error();
      expect_close(state.parameters, p, n, 3e-7, std::string("parameters ") + simd_name(simd), 1);
      for (int64_t b = 0; b * kBlock < n; ++b) {
        double largest_m = 0, largest_v = 0;
        for (int64_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); ++i) {
          largest_m = std::max(largest_m, std::abs(m[i]));
          largest_v = std::max(largest_v, v[i]);
        }
        EXPECT_NEAR(largest_m, state.first_absmax[b], 3e-7 * largest_m) << simd_name(simd);
        EXPECT_NEAR(largest_v, state.second_absmax[b], 3e-7 * largest_v) << simd_name(simd);
        // Rounding of the moments may move one that lies by a middle between two codes.
        for (int64_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); ++i) {
          const double of_m = m[i] / largest_m, of_v = v[i] / largest_v;
          const int m_code = state.first_moments[i], v_code = state.second_moments[i];
          ASSERT_TRUE(m_code == nearest_signed(of_m) || m_code == nearest_signed(of_m * (1 - 1e-6)) ||
                      m_code == nearest_signed(of_m * (1 + 1e-6)))
              << simd_name(simd) << " " << i << ": " << m_code << " for " << of_m;
          ASSERT_TRUE(v_code == nearest_unsigned(of_v) || v_code == nearest_unsigned(of_v * (1 - 1e-6)) ||
                      v_code == nearest_unsigned(of_v * (1 + 1e-6)))
              << simd_name(simd) << " " << i << ": " << v_code << " for " << of_v;
        }
      }
    }
  }
}

/// Without memory (beta1 = 0, beta2 = 0) m is the gradient and v its square, so a gradient is encoded as it is: every
/// code, every middle between two and the floats beside it, with 1 as the block's scale.
TEST(Adamw8bit, EncodesEveryMiddleAsTheEvenCode) {
  std::vector<float> ratios;
  for (int code = 0; code < 256; ++code) {
    ratios.push_back(signed_value(code));
    if (code == 255) break;
    const float middle = (signed_value(code) + signed_value(code + 1)) * 0.5f;
    for (float r : {middle, std::nextafter(middle, -2.0f), std::nextafter(middle, 2.0f)}) ratios.push_back(r);
  }
  for (float r : {1e-9f, -1e-9f, 1e-30f, -1e-30f, 0.0f, -0.0f, -1.0f}) ratios.push_back(r);
  while (ratios.size() % 255 != 0) ratios.push_back(0);
  std::vector<float> gradients;  // every block has a 1
  for (size_t i = 0; i < ratios.size(); ++i) {
    if (i % 255 == 0) gradients.push_back(1);
    gradients.push_back(ratios[i]);
  }
  const int64_t n = static_cast<int64_t>(gradients.size());
  for (int32_t simd : tiers()) {
    State state(n);
    ln_adamw_8bit_args args = state.args(gradients.data(), 1);
    args.beta1 = args.beta2 = 0;
    args.gradient_scale = nullptr;
    ASSERT_EQ(LN_OK, ln_adamw_8bit(Context(simd), &args));
    for (int64_t i = 0; i < n; ++i) {
      const float r = gradients[i], square = r * r;
      const int code = nearest_by_middles(r, signed_value);
      ASSERT_EQ(r < 0 && code == kSignedZero ? kSignedZero - 1 : code, state.first_moments[i])
          << simd_name(simd) << " of " << r;
      ASSERT_EQ(nearest_by_middles(square, [](int c) { return kUnsignedMagnitudes[c]; }), state.second_moments[i])
          << simd_name(simd) << " of " << square;
    }
  }
}

TEST(Adamw8bit, ZeroStaysZero) {
  for (int32_t simd : tiers()) {
    constexpr int64_t n = 300;
    Context context(simd);
    State state(n);
    std::vector<float> gradients(n, 0.0f);
    for (int64_t i = 256; i < n; ++i) gradients[i] = -0.5f;
    for (int64_t i = 0; i < n; ++i) state.parameters[i] = 0.25f;
    for (int64_t step = 1; step <= 5; ++step) {
      ln_adamw_8bit_args args = state.args(gradients.data(), step);
      args.weight_decay = 0;
      ASSERT_EQ(LN_OK, ln_adamw_8bit(context, &args)) << context.error();
    }
    for (int64_t i = 0; i < 256; ++i) {
      EXPECT_EQ(0.25f, state.parameters[i]) << simd_name(simd);
      EXPECT_EQ(kSignedZero, state.first_moments[i]) << simd_name(simd);
      EXPECT_EQ(0, state.second_moments[i]) << simd_name(simd);
    }
    EXPECT_EQ(0, state.first_absmax[0]);
    // A constant gradient: five steps of the learning rate, and the first moment is -1 times its scale, as near as
    // -0.99.
    for (int64_t i = 256; i < n; ++i) EXPECT_NEAR(0.25 + 5e-2, state.parameters[i], 6e-4) << simd_name(simd);
  }
}

/// Against float32 states, on gradients of all magnitudes: 8 bits cost little of the way.
TEST(Adamw8bit, StaysNearThePathOfFloat32States) {
  constexpr int64_t n = 4096, kSteps = 40;
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    Random random(72);
    State state(n);
    Guarded<float> parameters(n, random), first(n), second(n), scales(n, random);
    std::copy_n(parameters.data(), n, state.parameters.data());
    const Guarded<float> start(parameters);
    for (int64_t step = 1; step <= kSteps; ++step) {
      Guarded<float> gradients(n, random);
      for (int64_t i = 0; i < n; ++i) gradients[i] = scales[i] * (1 + 0.5f * gradients[i]);
      ln_adamw_8bit_args args = state.args(gradients, step);
      args.weight_decay = 0;
      ASSERT_EQ(LN_OK, ln_adamw_8bit(context, &args)) << context.error();
      const ln_adamw_args plain = {parameters, gradients,          first,      second,     args.gradient_scale, n,
                                   step,       args.learning_rate, args.beta1, args.beta2, args.epsilon,        0};
      ASSERT_EQ(LN_OK, ln_adamw(context, &plain)) << context.error();
    }
    double difference = 0, way = 0;
    for (int64_t i = 0; i < n; ++i) {
      difference += std::abs(state.parameters[i] - parameters[i]);
      way += std::abs(parameters[i] - start[i]);
    }
    EXPECT_GT(way / n, 0.2) << simd_name(simd);
    EXPECT_LT(difference / way, 0.02) << simd_name(simd);
  }
}

TEST(Adamw8bit, IsTheSameForEveryThreadCount) {
  constexpr int64_t n = 50003;
  for (int32_t simd : tiers()) {
    Random random(73);
    State start(n);
    start.fill(random);
    const Guarded<float> gradients(n, random);
    State one = start;
    ln_adamw_8bit_args args = one.args(gradients, 3);
    ASSERT_EQ(LN_OK, ln_adamw_8bit(Context(simd, 1), &args));
    for (int threads : {2, 3}) {
      State other = start;
      args = other.args(gradients, 3);
      ASSERT_EQ(LN_OK, ln_adamw_8bit(Context(simd, threads), &args));
      expect_state(other, one, simd_name(simd));
    }
  }
}

TEST(Adamw8bit, TakesNoStepByAScaleThatIsNotFinite) {
  for (int32_t simd : tiers()) {
    Random random(75);
    State state(600);
    state.fill(random);
    const State before = state;
    const Guarded<float> gradients(600, random);
    const float scale = NAN;
    ln_adamw_8bit_args args = state.args(gradients, 2);
    args.gradient_scale = &scale;
    ASSERT_EQ(LN_OK, ln_adamw_8bit(Context(simd), &args));
    expect_state(state, before, simd_name(simd));
  }
}

TEST(Adamw8bit, SurvivesGradientsThatAreNotFinite) {
  for (int32_t simd : tiers()) {
    State state(256);
    std::vector<float> gradients(256, 0.25f);
    gradients[3] = NAN;
    gradients[5] = INFINITY;
    for (int64_t step = 1; step <= 2; ++step) {
      const ln_adamw_8bit_args args = state.args(gradients.data(), step);
      ASSERT_EQ(LN_OK, ln_adamw_8bit(Context(simd), &args));
      EXPECT_FALSE(std::isfinite(state.parameters[3])) << simd_name(simd);
      EXPECT_FALSE(std::isfinite(state.parameters[5])) << simd_name(simd);
    }
  }
}

TEST(Adamw8bit, RefusesBadArgumentsAndWritesNothing) {
  Context context;
  Random random(74);
  State state(3);
  state.fill(random);
  const State before = state;
  const Guarded<float> gradients(3, random);
  const auto refuse = [&](auto change, const char* error) {
    ln_adamw_8bit_args args = state.args(gradients, 1);
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_adamw_8bit(context, &args));
    EXPECT_EQ(error, context.error());
  };
  refuse([](auto& a) { a.step = 0; }, "ln_adamw_8bit: step is 0, must be at least 1");
  refuse([](auto& a) { a.n = -1; }, "ln_adamw_8bit: n is -1, must be at least 0");
  refuse([](auto& a) { a.beta2 = 1; }, "ln_adamw_8bit: beta2 is 1.000000, must be at least 0 and below 1");
  refuse([](auto& a) { a.first_moments = nullptr; }, "ln_adamw_8bit: first_moments is NULL");
  refuse([](auto& a) { a.second_absmax = nullptr; }, "ln_adamw_8bit: second_absmax is NULL");
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_adamw_8bit(context, nullptr));
  EXPECT_EQ("ln_adamw_8bit: args is NULL", context.error());
  expect_state(state, before, "refused");
}

}  // namespace
}  // namespace ln::test
