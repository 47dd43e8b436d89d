#include "harness.hpp"

namespace ln::test {
namespace {

struct Shape {
  int64_t tokens, heads, head_dim, rotary_dim;
};

constexpr Shape kShapes[] = {{0, 1, 2, 2},    {1, 1, 2, 2},      {3, 2, 6, 6},    {5, 3, 7, 4},
                             {9, 1, 20, 20},  {4, 5, 48, 48},    {7, 2, 80, 32},  {6, 4, 96, 96},
                             {11, 8, 64, 64}, {33, 3, 128, 126}, {300, 2, 34, 34}};

constexpr int64_t kTableRows = 19;

struct Rope {
  Guarded<float> x, cosine, sine;
  Guarded<int32_t> positions;
  Shape shape;

  explicit Rope(const Shape& s, uint64_t seed = 1) : Rope(s, Random(seed)) {}

  ln_rope_args args(int32_t transpose) {
    return {x,          cosine,    sine, positions, shape.tokens, shape.heads, shape.head_dim, shape.rotary_dim,
            kTableRows, transpose, 0};
  }

  /// The rotation of the header's comment in float64.
  std::vector<double> expected(int32_t transpose) const {
    std::vector<double> y(x.data(), x.data() + x.size());
    const int64_t half = shape.rotary_dim / 2;
    for (int64_t t = 0; t < shape.tokens; ++t) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        double* row = y.data() + (t * shape.heads + h) * shape.head_dim;
        for (int64_t i = 0; i < half; ++i) {
          const double c = cosine[positions[t] * half + i],
                       s = (transpose != 0 ? -1.0 : 1.0) * sine[positions[t] * half + i];
          const double a = row[i], b = row[i + half];
          row[i] = a * c - b * s;
          row[i + half] = b * c + a * s;
        }
      }
    }
    return y;
  }

 private:
  Rope(const Shape& s, Random random)
      : x(s.tokens * s.heads * s.head_dim, random),
        cosine(kTableRows * s.rotary_dim / 2),
        sine(kTableRows * s.rotary_dim / 2),
        positions(s.tokens),
        shape(s) {
    for (int64_t p = 0; p < kTableRows; ++p) {
      for (int64_t i = 0; i < s.rotary_dim / 2; ++i) {
        const double angle =
            static_cast<double>(p) * std::pow(100.0, -2.0 * static_cast<double>(i) / static_cast<double>(s.rotary_dim));
        cosine[p * s.rotary_dim / 2 + i] = static_cast<float>(std::cos(angle));
        sine[p * s.rotary_dim / 2 + i] = static_cast<float>(std::sin(angle));
      }
    }
    for (int64_t t = 0; t < s.tokens; ++t)
      positions[t] = static_cast<int32_t>(t == 0 ? kTableRows - 1 : random.below(kTableRows));
  }
};

TEST(Rope, RotatesAndRotatesBackOnEveryTier) {
  for (int32_t simd : tiers()) {
    for (const Shape& s : kShapes) {
      for (int32_t transpose : {0, 1}) {
        Context context(simd, 2);
        Rope rope(s);
        const std::vector<double> expected = rope.expected(transpose);
        const ln_rope_args args = rope.args(transpose);
        ASSERT_EQ(LN_OK, ln_rope(context, &args)) << context.error();
        expect_close(rope.x, expected, rope.x.size(), 2e-7, std::string("rope ") + simd_name(simd));
      }
      Context context(simd, 2);
      Rope rope(s);
      const Guarded<float> before(rope.x);
      const ln_rope_args there = rope.args(0), back = rope.args(1);
      ASSERT_EQ(LN_OK, ln_rope(context, &there));
      ASSERT_EQ(LN_OK, ln_rope(context, &back));
      expect_close(rope.x, before, rope.x.size(), 5e-7, std::string("rope there and back ") + simd_name(simd));
    }
  }
}

/// The rotation is linear, so a difference quotient of the float64 rotation is exact for any step: sum(dy * rope(x)) by
/// x.
TEST(Rope, TransposeIsTheGradient) {
  for (int32_t simd : tiers()) {
    Rope forward({3, 2, 14, 10}), gradient({3, 2, 14, 10}, 2);
    std::memcpy(gradient.positions, forward.positions, 3 * sizeof(int32_t));
    const Guarded<float> dy(gradient.x);
    std::vector<double> expected;
    for (int64_t i = 0; i < forward.x.size(); ++i) {
      double difference = 0;
      const float x = forward.x[i];
      for (int sign : {1, -1}) {
        forward.x[i] = x + static_cast<float>(sign) * 0.25f;
        const std::vector<double> y = forward.expected(0);
        for (size_t j = 0; j < y.size(); ++j) difference += sign * dy[static_cast<int64_t>(j)] * y[j];
        forward.x[i] = x;
      }
      expected.push_back(difference / 0.5);
    }
    Context context(simd);
    const ln_rope_args args = gradient.args(1);
    ASSERT_EQ(LN_OK, ln_rope(context, &args)) << context.error();
    expect_close(gradient.x, expected, gradient.x.size(), 1e-6, std::string("rope gradient ") + simd_name(simd));
  }
}

TEST(Rope, BytesDoNotDependOnThreads) {
  const Shape shape = {900, 3, 40, 40};
  for (int32_t simd : tiers()) {
    Rope first(shape);
    Context one(simd, 1);
    ln_rope_args args = first.args(0);
    ASSERT_EQ(LN_OK, ln_rope(one, &args));
    for (int threads : {2, 3}) {
      Rope other(shape);
      Context context(simd, threads);
      args = other.args(0);
      ASSERT_EQ(LN_OK, ln_rope(context, &args));
      expect_identical(other.x.data(), first.x.data(), first.x.size(), simd_name(simd));
    }
  }
}

TEST(Rope, RefusesBadArgumentsBeforeWriting) {
  Context context;
  Rope rope({4, 2, 8, 6});
  const Guarded<float> before(rope.x);
  const auto refusal = [&](auto change) {
    ln_rope_args args = rope.args(0);
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_rope(context, &args));
    return context.error();
  };
  EXPECT_EQ("ln_rope: rotary_dim is 5, must be even", refusal([](ln_rope_args& a) { a.rotary_dim = 5; }));
  EXPECT_EQ("ln_rope: rotary_dim is 10, must be at most 8", refusal([](ln_rope_args& a) { a.rotary_dim = 10; }));
  EXPECT_EQ("ln_rope: rotary_dim is 0, must be at least 2", refusal([](ln_rope_args& a) { a.rotary_dim = 0; }));
  EXPECT_EQ("ln_rope: heads is -1, must be at least 1", refusal([](ln_rope_args& a) { a.heads = -1; }));
  EXPECT_EQ("ln_rope: head_dim is 0, must be at least 1", refusal([](ln_rope_args& a) { a.head_dim = 0; }));
  EXPECT_EQ("ln_rope: tokens is -4, must be at least 0", refusal([](ln_rope_args& a) { a.tokens = -4; }));
  EXPECT_EQ("ln_rope: table_rows is 0, must be at least 1", refusal([](ln_rope_args& a) { a.table_rows = 0; }));
  EXPECT_EQ("ln_rope: transpose is 3, must be 0 or 1", refusal([](ln_rope_args& a) { a.transpose = 3; }));
  EXPECT_EQ("ln_rope: sine is NULL", refusal([](ln_rope_args& a) { a.sine = nullptr; }));
  EXPECT_EQ("ln_rope: positions is NULL", refusal([](ln_rope_args& a) { a.positions = nullptr; }));
  if (kCpu) {  // the host does not read positions of a GPU
    rope.positions[3] = 19;
    EXPECT_EQ("ln_rope: positions[3] is 19, must be at least 0 and below 19", refusal([](ln_rope_args&) {}));
    rope.positions[3] = -1;
    EXPECT_EQ("ln_rope: positions[3] is -1, must be at least 0 and below 19", refusal([](ln_rope_args&) {}));
  }
  expect_identical(rope.x.data(), before.data(), before.size(), "x after refusals");
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_rope(context, nullptr));
  EXPECT_EQ("ln_rope: args is NULL", context.error());
}

}  // namespace
}  // namespace ln::test
