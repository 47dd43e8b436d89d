#include "matrices.hpp"

namespace ln::test {
namespace {

constexpr int64_t kOuts[] = {1, 3, 4, 31, 33};
constexpr int64_t kIns[] = {1, 3, 31, 33, 100, 255, 256, 257, 530};
constexpr int64_t kRanks[] = {0, 1, 5, 16};
constexpr int32_t kDtypes[] = {LN_F32, LN_BF16, LN_F16};
constexpr int32_t kWeightDtypes[] = {LN_F32, LN_BF16, LN_F16, LN_NF4, LN_FP4};
constexpr float kScale = 1.75f;

/// A weight and an adapter of the same size as the weight.
struct Adapted {
  TestMatrix weight, a, b;

  Adapted(int64_t out, int64_t in, int64_t rank, int32_t dtype, Random& random)
      : weight(out, in, dtype, random), a(rank, in, LN_F32, random), b(out, rank, LN_F32, random) {}

  int32_t norms(ln_context* context, float* result) const {
    return ln_dora_norms(context, weight.data(), weight.dtype(), a.floats(), b.floats(), kScale, result, weight.rows(),
                         weight.columns(), a.rows());
  }

  std::vector<double> expected() const {
    std::vector<double> norms;
    for (int64_t o = 0; o < weight.rows(); ++o) {
      double squares = 0;
      for (int64_t i = 0; i < weight.columns(); ++i) {
        double value = weight(o, i);
        for (int64_t k = 0; k < a.rows(); ++k) value += static_cast<double>(kScale) * b(o, k) * a(k, i);
        squares += value * value;
      }
      norms.push_back(std::sqrt(squares));
    }
    return norms;
  }
};

TEST(Dora, NormsEqualTheOracle) {
  for (int32_t simd : tiers()) {
    for (int32_t dtype : kWeightDtypes) {
      for (int64_t out : kOuts) {
        if (!kCpu && (out == 3 || out == 31)) continue;  // to save time: blocks have four rows
        for (int64_t in : kIns) {
          for (int64_t rank : kRanks) {
            Context context(simd, 2);
            Random random(static_cast<uint64_t>(in * 100 + out));
            const Adapted adapted(out, in, rank, dtype, random);
            Guarded<float> norms(out);
            ASSERT_EQ(LN_OK, adapted.norms(context, norms)) << context.error();
            const std::vector<double> expected = adapted.expected();
            for (int64_t o = 0; o < out; ++o) {
              ASSERT_NEAR(expected[static_cast<size_t>(o)], norms[o], 1e-6 * (1 + expected[static_cast<size_t>(o)]))
                  << simd_name(simd) << " " << dtype_name(dtype) << " [" << out << "," << in << "] rank " << rank;
            }
          }
        }
      }
    }
  }
}

TEST(Dora, NormsAreTheSameForEveryThreadCount) {
  for (int32_t simd : tiers()) {
    Random random(7);
    const Adapted adapted(203, 530, 8, LN_BF16, random);
    Guarded<float> once(203), again(203);
    ASSERT_EQ(LN_OK, adapted.norms(Context(simd, 1), once));
    for (int threads : {2, 3}) {
      ASSERT_EQ(LN_OK, adapted.norms(Context(simd, threads), again));
      expect_identical(again.data(), once.data(), 203, simd_name(simd));
    }
  }
}

/// Inputs of both passes; row 0 of the weight has no length.
struct Scaling {
  TestMatrix z, dy, bias;
  Guarded<float> magnitude, norms;

  Scaling(int64_t rows, int64_t out, int32_t bias_dtype, Random& random)
      : z(rows, out, LN_F32, random),
        dy(rows, out, LN_F32, random),
        bias(1, out, bias_dtype, random),
        magnitude(out, random),
        norms(out, random) {
    for (int64_t o = 0; o < out; ++o) norms[o] = o == 0 ? 0.0f : 1.5f + norms[o];
  }
  double factor(int64_t o) const { return norms[o] > 0 ? static_cast<double>(magnitude[o]) / norms[o] : 0; }
};

TEST(Dora, ForwardEqualsTheOracle) {
  for (int32_t simd : tiers()) {
    for (int32_t dtype : kDtypes) {
      for (int64_t rows : {0, 1, 3, 70}) {
        for (int64_t out : kIns) {
          for (int32_t mode : {0, 1, 2}) {  // alone, with a bias, with a bias onto what is there
            Context context(simd, 2);
            Random random(static_cast<uint64_t>(out));
            Scaling scaling(rows, out, dtype, random);
            Guarded<float> y(rows * out, random);
            std::vector<double> expected;
            for (int64_t r = 0; r < rows; ++r) {
              for (int64_t o = 0; o < out; ++o) {
                expected.push_back(scaling.factor(o) * scaling.z(r, o) + (mode > 0 ? scaling.bias(0, o) : 0) +
                                   (mode > 1 ? static_cast<double>(y[r * out + o]) : 0));
              }
            }
            const ln_dora_fwd_args args = {scaling.z.floats(),
                                           scaling.magnitude,
                                           scaling.norms,
                                           mode > 0 ? scaling.bias.data() : nullptr,
                                           y,
                                           rows,
                                           out,
                                           dtype,
                                           mode > 1 ? 1 : 0};
            ASSERT_EQ(LN_OK, ln_dora_fwd(context, &args)) << context.error();
            expect_close(y, expected, rows * out, 1e-6, simd_name(simd), 1);
          }
        }
      }
    }
  }
}

TEST(Dora, BackwardEqualsTheOracle) {
  for (int32_t simd : tiers()) {
    for (int64_t rows : {0, 1, 3, 200}) {
      for (int64_t out : kIns) {
        Context context(simd, 2);
        Random random(static_cast<uint64_t>(out) + 3);
        Scaling scaling(rows, out, LN_F32, random);
        Guarded<float> gradient(out, random);
        std::vector<double> expected, expected_gradient(static_cast<size_t>(out));
        for (int64_t o = 0; o < out; ++o) expected_gradient[static_cast<size_t>(o)] = static_cast<double>(gradient[o]);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t o = 0; o < out; ++o) {
            expected.push_back(scaling.factor(o) * scaling.dy(r, o));
            if (o > 0) {
              expected_gradient[static_cast<size_t>(o)] += scaling.dy(r, o) * scaling.z(r, o) / scaling.norms[o];
            }
          }
        }
        // In place of dy, as the layer calls it.
        const ln_dora_bwd_args args = {scaling.dy.floats(),
                                       scaling.z.floats(),
                                       scaling.magnitude,
                                       scaling.norms,
                                       scaling.dy.floats(),
                                       gradient,
                                       rows,
                                       out};
        ASSERT_EQ(LN_OK, ln_dora_bwd(context, &args)) << context.error();
        expect_close(scaling.dy.floats(), expected, rows * out, 1e-6, simd_name(simd), 1);
        expect_close(gradient, expected_gradient, out, 2e-6, simd_name(simd), 3);
      }
    }
  }
}

TEST(Dora, AFrozenMagnitudeNeedsNoOutput) {
  for (int32_t simd : tiers()) {
    Random random(5);
    Scaling scaling(3, 33, LN_F32, random);
    Guarded<float> dz(99);
    const ln_dora_bwd_args args = {scaling.dy.floats(), nullptr, scaling.magnitude, scaling.norms, dz, nullptr, 3, 33};
    ASSERT_EQ(LN_OK, ln_dora_bwd(Context(simd), &args));
    EXPECT_NEAR(scaling.factor(32) * scaling.dy(2, 32), dz[98], 1e-6);
  }
}

TEST(Dora, RefusesBadArguments) {
  Context context;
  float x[2] = {};
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dora_norms(context, x, LN_F32, x, x, NAN, x, 1, 1, 1));
  EXPECT_EQ("ln_dora_norms: scale is not finite", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dora_norms(context, x, LN_F32, nullptr, x, 1, x, 1, 1, 1));
  EXPECT_EQ("ln_dora_norms: lora_a is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dora_norms(context, x, 99, x, x, 1, x, 1, 1, 1));
  EXPECT_EQ("ln_dora_norms: weight_dtype is 99, not an ln_dtype", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dora_norms(context, x, LN_F32, x, x, 1, x, 1, 0, 1));
  EXPECT_EQ("ln_dora_norms: in is 0, must be at least 1", context.error());
  ln_dora_fwd_args forward = {x, x, x, nullptr, x, 1, 1, LN_F32, 1};
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dora_fwd(context, &forward));
  EXPECT_EQ("ln_dora_fwd: y is z, with accumulate", context.error());
  forward.norms = nullptr;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dora_fwd(context, &forward));
  EXPECT_EQ("ln_dora_fwd: norms is NULL", context.error());
  const ln_dora_bwd_args backward = {x, nullptr, x, x, x, x, 1, 1};
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dora_bwd(context, &backward));
  EXPECT_EQ("ln_dora_bwd: z is NULL", context.error());
}

}  // namespace
}  // namespace ln::test
