#include "matrices.hpp"

namespace ln::test {
namespace {

struct Shape {
  int64_t rows, width;
};

constexpr Shape kShapes[] = {{0, 4},  {1, 1},    {3, 7},    {5, 16},   {2, 33},
                             {9, 64}, {33, 100}, {3, 2048}, {700, 48}, {2, 8195}};
constexpr float kEpsilon = 1e-5f;

/// The norm of the header's comment in float64; z already holds the residual.
struct Oracle {
  std::vector<double> y, rstd;

  Oracle(const std::vector<double>& z, const TestMatrix& weight, Shape s) {
    for (int64_t r = 0; r < s.rows; ++r) {
      double squares = 0;
      for (int64_t i = 0; i < s.width; ++i) squares += z[r * s.width + i] * z[r * s.width + i];
      rstd.push_back(1 / std::sqrt(squares / static_cast<double>(s.width) + kEpsilon));
      for (int64_t i = 0; i < s.width; ++i) y.push_back(z[r * s.width + i] * rstd[r] * weight(0, i));
    }
  }
};

TEST(Norm, ForwardNormalisesTheSumOnEveryTier) {
  for (int32_t simd : tiers()) {
    for (int32_t dtype : {LN_F32, LN_BF16, LN_F16}) {
      for (const Shape& s : kShapes) {
        for (bool with_residual : {false, true}) {
          Context context(simd, 2);
          Random random(1);
          const int64_t n = s.rows * s.width;
          Guarded<float> x(n, random), residual(n, random), sum(n), y(n), rstd(s.rows);
          const TestMatrix weight(1, s.width, dtype, random);
          std::vector<double> z(static_cast<size_t>(n));
          for (int64_t i = 0; i < n; ++i) z[i] = with_residual ? x[i] + residual[i] : x[i];
          const Oracle oracle(z, weight, s);
          const ln_rmsnorm_fwd_args args = {
              x,    with_residual ? residual.data() : nullptr, weight.data(), sum, y, rstd, s.rows, s.width, kEpsilon,
              dtype};
          const std::string what = std::string("rmsnorm ") + simd_name(simd) + " " + dtype_name(dtype);
          ASSERT_EQ(LN_OK, ln_rmsnorm_fwd(context, &args)) << context.error();
          expect_close(y, oracle.y, n, 5e-7, what);
          expect_close(rstd, oracle.rstd, s.rows, 3e-7, what + " rstd");
          expect_close(sum, z, n, 0, what + " sum");
        }
      }
    }
  }
}

TEST(Norm, ForwardWorksInPlaceAsTheHeaderPromises) {
  for (int32_t simd : tiers()) {
    for (const Shape& s : kShapes) {
      Context context(simd, 2);
      Random random(2);
      const int64_t n = s.rows * s.width;
      Guarded<float> x(n, random), residual(n, random), sum(n), y(n), rstd(s.rows);
      const TestMatrix weight(1, s.width, LN_F32, random);
      const ln_rmsnorm_fwd_args plain = {x, residual, weight.data(), sum, y, rstd, s.rows, s.width, kEpsilon, LN_F32};
      ASSERT_EQ(LN_OK, ln_rmsnorm_fwd(context, &plain)) << context.error();

      for (int variant = 0; variant < 4; ++variant) {
        Guarded<float> own_x(x), own_residual(residual), own_sum(n), own_y(n);
        ln_rmsnorm_fwd_args args = plain;
        args.x = own_x;
        args.residual = own_residual;
        args.sum = variant == 0   ? own_x.data()
                   : variant == 1 ? own_residual.data()
                   : variant == 2 ? own_sum.data()
                                  : nullptr;
        args.y = variant < 2 ? own_y.data() : own_x.data();
        args.rstd = nullptr;
        const std::string what = std::string(simd_name(simd)) + " variant " + std::to_string(variant);
        ASSERT_EQ(LN_OK, ln_rmsnorm_fwd(context, &args)) << context.error();
        expect_identical(static_cast<const float*>(args.y), y.data(), n, what + " y");
        if (args.sum != nullptr) expect_identical(static_cast<const float*>(args.sum), sum.data(), n, what + " sum");
      }
    }
  }
}

/// Everything of a backward pass; the loss is sum(dy * rmsnorm(z)) + sum(dresidual * z).
struct Backward {
  Shape shape;
  Random random{3};
  Guarded<float> dy, z, dresidual, rstd;
  TestMatrix weight;
  std::vector<double> values;

  Backward(Shape s, int32_t dtype)
      : shape(s),
        dy(s.rows * s.width, random),
        z(s.rows * s.width, random),
        dresidual(s.rows * s.width, random),
        rstd(s.rows),
        weight(1, s.width, dtype, random),
        values(z.data(), z.data() + z.size()) {
    const Oracle oracle(values, weight, s);
    for (int64_t r = 0; r < s.rows; ++r) rstd[r] = static_cast<float>(oracle.rstd[r]);
  }

  ln_rmsnorm_bwd_args args(float* dx, float* grad_weight) {
    return {dy, z, weight.data(), rstd, dresidual, dx, grad_weight, shape.rows, shape.width, weight.dtype(), 0};
  }

  double loss() const {
    const Oracle oracle(values, weight, shape);
    double total = 0;
    for (int64_t i = 0; i < dy.size(); ++i) total += dy[i] * oracle.y[i] + dresidual[i] * values[i];
    return total;
  }

  std::vector<double> expected_dx() const {
    const Oracle oracle(values, weight, shape);
    std::vector<double> dx(values.size());
    for (int64_t r = 0; r < shape.rows; ++r) {
      double mean = 0;
      for (int64_t i = 0; i < shape.width; ++i) {
        const int64_t at = r * shape.width + i;
        mean += dy[at] * weight(0, i) * values[at] * oracle.rstd[r] / static_cast<double>(shape.width);
      }
      for (int64_t i = 0; i < shape.width; ++i) {
        const int64_t at = r * shape.width + i;
        dx[at] = oracle.rstd[r] * (dy[at] * weight(0, i) - values[at] * oracle.rstd[r] * mean) + dresidual[at];
      }
    }
    return dx;
  }

  std::vector<double> expected_weight_gradient(const Guarded<float>& start) const {
    const Oracle oracle(values, weight, shape);
    std::vector<double> gradient(start.data(), start.data() + start.size());
    for (int64_t i = 0; i < dy.size(); ++i)
      gradient[i % shape.width] += dy[i] * values[i] * oracle.rstd[i / shape.width];
    return gradient;
  }
};

TEST(Norm, GradientsEqualFiniteDifferences) {
  for (int32_t simd : tiers()) {
    Backward b({3, 21}, LN_F32);
    Context context(simd);
    std::vector<double> by_x, by_weight;
    const double h = 1e-5;
    for (double& value : b.values) {
      const double kept = value;
      value = kept + h;
      const double above = b.loss();
      value = kept - h;
      by_x.push_back((above - b.loss()) / (2 * h));
      value = kept;
    }
    for (int64_t i = 0; i < b.shape.width; ++i) {  // the loss is linear in the weight: any step is exact
      const float kept = b.weight.floats()[i];
      double difference = 0;
      for (int sign : {1, -1}) {
        b.weight.floats()[i] = kept + static_cast<float>(sign) * 0.5f;
        b.weight.refresh();
        difference += sign * b.loss();
      }
      by_weight.push_back(difference);
      b.weight.floats()[i] = kept;
      b.weight.refresh();
    }
    Guarded<float> dx(b.z.size()), gradient(b.shape.width);
    const ln_rmsnorm_bwd_args args = b.args(dx, gradient);
    ASSERT_EQ(LN_OK, ln_rmsnorm_bwd(context, &args)) << context.error();
    expect_close(dx, by_x, dx.size(), 2e-6, std::string("dx ") + simd_name(simd));
    expect_close(gradient, by_weight, gradient.size(), 2e-6, std::string("grad_weight ") + simd_name(simd));
  }
}

TEST(Norm, BackwardEqualsItsFormulaAndWorksInPlace) {
  for (int32_t simd : tiers()) {
    for (int32_t dtype : {LN_F32, LN_BF16, LN_F16}) {
      for (const Shape& s : kShapes) {
        Context context(simd, 2);
        Backward b(s, dtype);
        const int64_t n = s.rows * s.width;
        Guarded<float> dx(n), start(s.width, b.random);
        Guarded<float> gradient(start);
        const std::string what = std::string("rmsnorm backward ") + simd_name(simd) + " " + dtype_name(dtype);
        ln_rmsnorm_bwd_args args = b.args(dx, gradient);
        ASSERT_EQ(LN_OK, ln_rmsnorm_bwd(context, &args)) << context.error();
        expect_close(dx, b.expected_dx(), n, 1e-6, what + " dx");
        expect_close(gradient, b.expected_weight_gradient(start), s.width, 1e-6, what + " grad_weight");

        Guarded<float> in_dy(b.dy), in_residual(b.dresidual), again(start);
        args = b.args(in_dy, again);
        args.dy = in_dy;
        ASSERT_EQ(LN_OK, ln_rmsnorm_bwd(context, &args));
        expect_identical(in_dy.data(), dx.data(), n, what + " dx into dy");
        expect_identical(again.data(), gradient.data(), s.width, what + " grad_weight beside dx into dy");
        args = b.args(in_residual, nullptr);
        args.dresidual = in_residual;
        ASSERT_EQ(LN_OK, ln_rmsnorm_bwd(context, &args));
        expect_identical(in_residual.data(), dx.data(), n, what + " dx into dresidual");

        args.dresidual = nullptr;
        ASSERT_EQ(LN_OK, ln_rmsnorm_bwd(context, &args));
        std::vector<double> expected = b.expected_dx();
        for (int64_t i = 0; i < n; ++i) expected[i] -= b.dresidual[i];
        expect_close(in_residual, expected, n, 1e-6, what + " without dresidual", 0.5);
      }
    }
  }
}

TEST(Norm, BytesDoNotDependOnThreads) {
  const Shape s = {1000, 130};
  for (int32_t simd : tiers()) {
    std::vector<std::vector<float>> results;
    for (int threads : {1, 2, 3}) {
      Context context(simd, threads);
      Backward b(s, LN_F32);
      std::vector<float> all(2 * b.z.size() + s.width);
      float* y = all.data() + b.z.size() + s.width;
      const ln_rmsnorm_fwd_args forward = {b.z,     b.dy,   b.weight.data(), nullptr,  y,
                                           nullptr, s.rows, s.width,         kEpsilon, LN_F32};
      const ln_rmsnorm_bwd_args backward = b.args(all.data(), all.data() + b.z.size());
      ASSERT_EQ(LN_OK, ln_rmsnorm_fwd(context, &forward));
      ASSERT_EQ(LN_OK, ln_rmsnorm_bwd(context, &backward));
      results.push_back(all);
    }
    for (const auto& other : results) {
      expect_identical(other.data(), results[0].data(), static_cast<int64_t>(other.size()), simd_name(simd));
    }
  }
}

TEST(Norm, RefusesBadArguments) {
  Context context;
  Random random(1);
  float x[4] = {1, 2, 3, 4}, y[4] = {}, rstd[2] = {};
  const auto forward = [&](auto change) {
    ln_rmsnorm_fwd_args args = {x, nullptr, x, nullptr, y, rstd, 2, 2, kEpsilon, LN_F32};
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_rmsnorm_fwd(context, &args));
    return context.error();
  };
  EXPECT_EQ("ln_rmsnorm_fwd: rows is -2, must be at least 0", forward([](auto& a) { a.rows = -2; }));
  EXPECT_EQ("ln_rmsnorm_fwd: width is 0, must be at least 1", forward([](auto& a) { a.width = 0; }));
  EXPECT_EQ("ln_rmsnorm_fwd: weight_dtype is 9, not an ln_dtype", forward([](auto& a) { a.weight_dtype = 9; }));
  EXPECT_EQ("ln_rmsnorm_fwd: epsilon is -1.000000, must be at least 0", forward([](auto& a) { a.epsilon = -1; }));
  EXPECT_EQ("ln_rmsnorm_fwd: epsilon is nan, must be at least 0", forward([](auto& a) { a.epsilon = NAN; }));
  EXPECT_EQ("ln_rmsnorm_fwd: x is NULL", forward([](auto& a) { a.x = nullptr; }));
  EXPECT_EQ("ln_rmsnorm_fwd: y and sum are the same memory", forward([](auto& a) { a.sum = a.y; }));
  EXPECT_EQ("ln_rmsnorm_fwd: weight is not aligned to 4 bytes",
            forward([](auto& a) { a.weight = static_cast<const char*>(a.weight) + 2; }));
  const auto backward = [&](auto change) {
    ln_rmsnorm_bwd_args args = {x, x, x, rstd, nullptr, y, nullptr, 2, 2, LN_F32, 0};
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_rmsnorm_bwd(context, &args));
    return context.error();
  };
  EXPECT_EQ("ln_rmsnorm_bwd: rows is -1, must be at least 0", backward([](auto& a) { a.rows = -1; }));
  EXPECT_EQ("ln_rmsnorm_bwd: weight_dtype is -1, not an ln_dtype", backward([](auto& a) { a.weight_dtype = -1; }));
  EXPECT_EQ("ln_rmsnorm_bwd: rstd is NULL", backward([](auto& a) { a.rstd = nullptr; }));
  EXPECT_EQ("ln_rmsnorm_bwd: dx is NULL", backward([](auto& a) { a.dx = nullptr; }));
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_rmsnorm_fwd(context, nullptr));
  EXPECT_EQ("ln_rmsnorm_fwd: args is NULL", context.error());
}

}  // namespace
}  // namespace ln::test
