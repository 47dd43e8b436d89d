#include "harness.hpp"

namespace ln::test {
namespace {

constexpr int64_t kSizes[] = {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 100, 16384, 40001};
constexpr int32_t kActivations[] = {LN_SILU, LN_GELU_TANH, LN_GELU_ERF};

double activation(int32_t kind, double x) {
  if (kind == LN_SILU) return x / (1 + std::exp(-x));
  if (kind == LN_GELU_TANH) return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}

/// Five-point central difference: its error is near 1e-11.
double slope(int32_t kind, double x) {
  const double h = 1e-3;
  return (8 * (activation(kind, x + h) - activation(kind, x - h)) -
          (activation(kind, x + 2 * h) - activation(kind, x - 2 * h))) /
         (12 * h);
}

std::string name(int32_t kind, int32_t simd) { return "activation " + std::to_string(kind) + " " + simd_name(simd); }

/// From -10 to 10, where the activations bend, and the far ends.
std::vector<float> curve() {
  std::vector<float> x;
  for (int i = -20000; i <= 20000; ++i) x.push_back(static_cast<float>(i) / 2000);
  for (float end : {11.0f, 13.5f, 20.0f, 50.0f, 87.0f, 88.5f, 104.0f, 1000.0f, 1e4f}) {
    x.push_back(end);
    x.push_back(-end);
  }
  return x;
}

TEST(Activation, ValuesAndSlopesAreExactOverTheWholeCurve) {
  const std::vector<float> x = curve();
  const int64_t n = static_cast<int64_t>(x.size());
  const std::vector<float> one(x.size(), 1.0f);
  for (int32_t simd : tiers()) {
    for (int32_t kind : kActivations) {
      Context context(simd);
      std::vector<float> y(x.size()), dx(x.size()), dup(x.size());
      ASSERT_EQ(LN_OK, ln_gated_activation_fwd(context, kind, x.data(), one.data(), y.data(), n)) << context.error();
      ASSERT_EQ(LN_OK,
                ln_gated_activation_bwd(context, kind, one.data(), x.data(), one.data(), dx.data(), dup.data(), n));
      for (size_t i = 0; i < x.size(); ++i) {
        const double value = activation(kind, x[i]);
        ASSERT_NEAR(y[i], value, 4e-7 * std::abs(value) + 2e-8) << name(kind, simd) << " at " << x[i];
        ASSERT_NEAR(dup[i], value, 4e-7 * std::abs(value) + 2e-8) << name(kind, simd) << " at " << x[i];
        ASSERT_NEAR(dx[i], slope(kind, x[i]), 5e-7) << name(kind, simd) << " slope at " << x[i];
      }
    }
  }
}

TEST(Activation, NaNIsNotHidden) {
  const std::vector<float> x(21, NAN), one(21, 1.0f);
  for (int32_t simd : tiers()) {
    for (int32_t kind : kActivations) {
      Context context(simd);
      std::vector<float> y(21), dx(21), dup(21);
      ASSERT_EQ(LN_OK, ln_gated_activation_fwd(context, kind, x.data(), one.data(), y.data(), 21));
      ASSERT_EQ(LN_OK,
                ln_gated_activation_bwd(context, kind, one.data(), x.data(), one.data(), dx.data(), dup.data(), 21));
      for (int i = 0; i < 21; ++i)
        ASSERT_TRUE(std::isnan(y[i]) && std::isnan(dx[i]) && std::isnan(dup[i])) << name(kind, simd);
    }
  }
}

TEST(Activation, ForwardIsRightForEverySizeAndInPlace) {
  for (int32_t simd : tiers()) {
    for (int32_t kind : kActivations) {
      for (int64_t n : kSizes) {
        Context context(simd, 2);
        Random random(3);
        Guarded<float> gate(n, random), up(n, random), y(n);
        for (int64_t i = 0; i < n; ++i) gate[i] *= 6;
        std::vector<double> expected(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i) expected[i] = activation(kind, gate[i]) * up[i];
        ASSERT_EQ(LN_OK, ln_gated_activation_fwd(context, kind, gate, up, y, n)) << context.error();
        expect_close(y, expected, n, 4e-7, name(kind, simd), 0.1);
        Guarded<float> in_gate(gate), in_up(up);
        ASSERT_EQ(LN_OK, ln_gated_activation_fwd(context, kind, in_gate, up, in_gate, n));
        expect_identical(in_gate.data(), y.data(), n, name(kind, simd) + " into gate");
        ASSERT_EQ(LN_OK, ln_gated_activation_fwd(context, kind, gate, in_up, in_up, n));
        expect_identical(in_up.data(), y.data(), n, name(kind, simd) + " into up");
      }
    }
  }
}

TEST(Activation, BackwardIsTheDerivativeForEverySizeAndInPlace) {
  for (int32_t simd : tiers()) {
    for (int32_t kind : kActivations) {
      for (int64_t n : kSizes) {
        Context context(simd, 2);
        Random random(4);
        Guarded<float> dy(n, random), gate(n, random), up(n, random), dgate(n), dup(n);
        for (int64_t i = 0; i < n; ++i) gate[i] *= 6;
        std::vector<double> expected_gate(static_cast<size_t>(n)), expected_up(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i) {
          expected_gate[i] = static_cast<double>(dy[i]) * up[i] * slope(kind, gate[i]);
          expected_up[i] = dy[i] * activation(kind, gate[i]);
        }
        const std::string what = name(kind, simd);
        ASSERT_EQ(LN_OK, ln_gated_activation_bwd(context, kind, dy, gate, up, dgate, dup, n)) << context.error();
        expect_close(dgate, expected_gate, n, 6e-7, what + " dgate", 0.1);
        expect_close(dup, expected_up, n, 4e-7, what + " dup", 0.1);
        Guarded<float> in_gate(gate), in_up(up), in_dy(dy), other(gate);
        ASSERT_EQ(LN_OK, ln_gated_activation_bwd(context, kind, dy, in_gate, in_up, in_gate, in_up, n));
        expect_identical(in_gate.data(), dgate.data(), n, what + " dgate into gate");
        expect_identical(in_up.data(), dup.data(), n, what + " dup into up");
        ASSERT_EQ(LN_OK, ln_gated_activation_bwd(context, kind, in_dy, other, up, other, in_dy, n));
        expect_identical(other.data(), dgate.data(), n, what + " dgate into gate beside dy");
        expect_identical(in_dy.data(), dup.data(), n, what + " dup into dy");
      }
    }
  }
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Rows {
  int64_t rows, width;
};

constexpr Rows kRows[] = {{0, 5}, {1, 1}, {3, 7}, {5, 16}, {2, 33}, {4, 64}, {33, 100}, {3, 16385}, {700, 48}};

TEST(SigmoidGate, ForwardScalesOrAddsRows) {
  for (int32_t simd : tiers()) {
    for (const Rows& r : kRows) {
      const int64_t n = r.rows * r.width;
      for (int32_t accumulate : {0, 1}) {
        Context context(simd, 2);
        Random random(5);
        Guarded<float> x(n, random), gate(r.rows, random), y(n, random);
        std::vector<double> expected(static_cast<size_t>(n));
        for (int64_t t = 0; t < r.rows; ++t) gate[t] *= 20;
        for (int64_t i = 0; i < n; ++i)
          expected[i] = (accumulate != 0 ? y[i] : 0.0) + sigmoid(gate[i / r.width]) * x[i];
        if (accumulate == 0 && n > 0) y[0] = NAN;  // not read
        ASSERT_EQ(LN_OK, ln_sigmoid_gate_fwd(context, x, gate, y, r.rows, r.width, accumulate)) << context.error();
        expect_close(y, expected, n, 3e-7, std::string("sigmoid gate ") + simd_name(simd));
      }
    }
  }
}

TEST(SigmoidGate, BackwardIsTheDerivativeAndInPlace) {
  for (int32_t simd : tiers()) {
    for (const Rows& r : kRows) {
      const int64_t n = r.rows * r.width;
      Context context(simd, 2);
      Random random(6);
      Guarded<float> dy(n, random), x(n, random), gate(r.rows, random), dx(n), dgate(r.rows), again(r.rows);
      std::vector<double> expected(static_cast<size_t>(n)), expected_gate(static_cast<size_t>(r.rows));
      for (int64_t t = 0; t < r.rows; ++t) {
        gate[t] *= 5;
        double dot = 0;
        for (int64_t i = t * r.width; i < (t + 1) * r.width; ++i) {
          dot += static_cast<double>(dy[i]) * x[i];
          expected[i] = dy[i] * sigmoid(gate[t]);
        }
        const double h = 1e-4;  // central difference of the forward pass
        expected_gate[t] = dot * (sigmoid(gate[t] + h) - sigmoid(gate[t] - h)) / (2 * h);
      }
      ASSERT_EQ(LN_OK, ln_sigmoid_gate_bwd(context, dy, x, gate, dx, dgate, r.rows, r.width)) << context.error();
      expect_close(dx, expected, n, 3e-7, std::string("sigmoid gate dx ") + simd_name(simd));
      expect_close(dgate, expected_gate, r.rows, 2e-6, std::string("sigmoid gate dgate ") + simd_name(simd), 0.1);
      ASSERT_EQ(LN_OK, ln_sigmoid_gate_bwd(context, dy, x, gate, x, again, r.rows, r.width));
      expect_identical(x.data(), dx.data(), n, "dx into x");
      expect_identical(again.data(), dgate.data(), r.rows, "dgate beside dx into x");
    }
  }
}

TEST(SigmoidGate, FarGatesAreZeroAndOne) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    const float x[4] = {2, 2, 2, 2}, dy[4] = {1, 1, 1, 1}, gate[4] = {-1e4f, -200, 200, 1e4f};
    float y[4], dx[4], dgate[4];
    ASSERT_EQ(LN_OK, ln_sigmoid_gate_fwd(context, x, gate, y, 4, 1, 0));
    ASSERT_EQ(LN_OK, ln_sigmoid_gate_bwd(context, dy, x, gate, dx, dgate, 4, 1));
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(i < 2 ? 0 : 2, y[i]) << simd_name(simd);
      EXPECT_EQ(i < 2 ? 0 : 1, dx[i]) << simd_name(simd);
      EXPECT_EQ(0, dgate[i]) << simd_name(simd);
    }
  }
}

TEST(Activation, BytesDoNotDependOnThreads) {
  const int64_t rows = 70, width = 801, n = rows * width;
  Random random(8);
  Guarded<float> dy(n, random), gate(n, random), up(n, random), row_gate(rows, random);
  for (int32_t simd : tiers()) {
    std::vector<std::vector<float>> results;
    for (int threads : {1, 2, 3}) {
      Context context(simd, threads);
      std::vector<float> y(n), dgate(n), dup(n), dx(n), drow(rows);
      ASSERT_EQ(LN_OK, ln_gated_activation_fwd(context, LN_SILU, gate, up, y.data(), n));
      ASSERT_EQ(LN_OK, ln_gated_activation_bwd(context, LN_GELU_ERF, dy, gate, up, dgate.data(), dup.data(), n));
      ASSERT_EQ(LN_OK, ln_sigmoid_gate_bwd(context, dy, up, row_gate, dx.data(), drow.data(), rows, width));
      std::vector<float> all;
      for (const auto* part : {&y, &dgate, &dup, &dx, &drow}) all.insert(all.end(), part->begin(), part->end());
      results.push_back(all);
    }
    for (const auto& other : results) {
      expect_identical(other.data(), results[0].data(), static_cast<int64_t>(other.size()), simd_name(simd));
    }
  }
}

TEST(Activation, RefusesBadArguments) {
  Context context;
  float x = 0;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gated_activation_fwd(context, 3, &x, &x, &x, 1));
  EXPECT_EQ("ln_gated_activation_fwd: activation is 3, not an ln_activation", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gated_activation_fwd(context, LN_SILU, &x, nullptr, &x, 1));
  EXPECT_EQ("ln_gated_activation_fwd: up is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gated_activation_fwd(context, LN_SILU, &x, &x, &x, -1));
  EXPECT_EQ("ln_gated_activation_fwd: n is -1, must be at least 0", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gated_activation_bwd(context, -1, &x, &x, &x, &x, &x, 1));
  EXPECT_EQ("ln_gated_activation_bwd: activation is -1, not an ln_activation", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gated_activation_bwd(context, LN_SILU, &x, &x, &x, &x, nullptr, 1));
  EXPECT_EQ("ln_gated_activation_bwd: dup is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_sigmoid_gate_fwd(context, &x, &x, &x, 1, 0, 0));
  EXPECT_EQ("ln_sigmoid_gate_fwd: width is 0, must be at least 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_sigmoid_gate_fwd(context, &x, &x, &x, 1, 1, 2));
  EXPECT_EQ("ln_sigmoid_gate_fwd: accumulate is 2, must be 0 or 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_sigmoid_gate_bwd(context, &x, &x, nullptr, &x, &x, 1, 1));
  EXPECT_EQ("ln_sigmoid_gate_bwd: gate is NULL", context.error());
  EXPECT_EQ(LN_OK, ln_gated_activation_fwd(context, LN_SILU, nullptr, nullptr, nullptr, 0));
  EXPECT_EQ(LN_OK, ln_sigmoid_gate_bwd(context, nullptr, nullptr, nullptr, nullptr, nullptr, 0, 4));
}

}  // namespace
}  // namespace ln::test
