#include "matrices.hpp"

namespace ln::test {
namespace {

constexpr int64_t kSizes[] = {1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 33, 63, 100, 257};
constexpr float kUntouched = 1234.5f;

struct Case {
  int64_t m, n, k;
  int32_t a_dtype = LN_F32, b_dtype = LN_F32;
  int32_t transpose_a = 0, transpose_b = 1;
  int64_t gap = 0;
  int32_t bias_dtype = -1;  // none
  float alpha = 1, beta = 0;

  std::string text(int32_t simd) const {
    return std::string(simd_name(simd)) + " m " + std::to_string(m) + " n " + std::to_string(n) + " k " +
           std::to_string(k) + " a " + dtype_name(a_dtype) + (transpose_a ? "^T" : "") + " b " + dtype_name(b_dtype) +
           (transpose_b ? "^T" : "") + " gap " + std::to_string(gap) + " bias " + std::to_string(bias_dtype) +
           " alpha " + std::to_string(alpha) + " beta " + std::to_string(beta);
  }
};

/// Operands and result of a case; c is [m,n] with gaps that must stay as they are.
struct Fixture {
  Random random;
  TestMatrix a, b, bias, c;
  ln_matmul_args args{};

  explicit Fixture(const Case& x, uint64_t seed = 11)
      : random(seed),
        a(x.transpose_a ? x.k : x.m, x.transpose_a ? x.m : x.k, x.a_dtype, random, x.gap),
        b(x.transpose_b ? x.n : x.k, x.transpose_b ? x.k : x.n, x.b_dtype, random, x.gap),
        bias(1, x.n, x.bias_dtype < 0 ? LN_F32 : x.bias_dtype, random),
        c(x.m, x.n, LN_F32, random, x.gap) {
    args.a = a.data();
    args.b = b.data();
    args.bias = x.bias_dtype < 0 ? nullptr : bias.data();
    args.bias_dtype = x.bias_dtype;
    args.c = c.floats();
    args.m = x.m;
    args.n = x.n;
    args.k = x.k;
    args.lda = a.ld();
    args.ldb = b.ld();
    args.ldc = c.ld();
    args.a_dtype = x.a_dtype;
    args.b_dtype = x.b_dtype;
    args.transpose_a = x.transpose_a;
    args.transpose_b = x.transpose_b;
    args.alpha = x.alpha;
    args.beta = x.beta;
    for (int64_t i = 0; i < x.m; ++i) {
      for (int64_t j = 0; j < x.n && x.beta == 0; ++j) c.floats()[i * c.ld() + j] = NAN;  // not read
      for (int64_t j = x.n; j < c.ld() && i + 1 < x.m; ++j) c.floats()[i * c.ld() + j] = kUntouched;
    }
  }

  double op_a(int64_t i, int64_t p) const { return args.transpose_a ? a(p, i) : a(i, p); }
  double op_b(int64_t p, int64_t j) const { return args.transpose_b ? b(j, p) : b(p, j); }

  Oracle expected() const {
    Oracle result(args.m, args.n);
    for (int64_t i = 0; i < args.m; ++i) {
      for (int64_t j = 0; j < args.n; ++j) {
        result(i, j) = (args.bias == nullptr ? 0.0 : bias(0, j)) + (args.beta == 0 ? 0.0 : args.beta * c(i, j));
      }
    }
    add_product(
        result, args.m, args.n, args.k, args.alpha, [&](int64_t i, int64_t p) { return op_a(i, p); },
        [&](int64_t p, int64_t j) { return op_b(p, j); });
    return result;
  }

  void run(Context& context) {
    context.reserve(LN_OP_MATMUL, args);
    ASSERT_EQ(LN_OK, ln_matmul(context, &args)) << context.error();
    c.refresh();
  }
};

void check(Context& context, int32_t simd, const Case& x) {
  Fixture fixture(x);
  const Oracle expected = fixture.expected();
  fixture.run(context);
  std::vector<float> actual;
  for (int64_t i = 0; i < x.m; ++i) {
    for (int64_t j = 0; j < x.n; ++j) actual.push_back(static_cast<float>(fixture.c(i, j)));
    for (int64_t j = x.n; j < fixture.c.ld() && i + 1 < x.m; ++j) {
      ASSERT_EQ(kUntouched, fixture.c.floats()[i * fixture.c.ld() + j]) << x.text(simd) << ": wrote between rows";
    }
  }
  expect_product(actual.data(), expected, x.k, x.text(simd));
}

int64_t any_size(Random& random) { return kSizes[random.below(static_cast<int64_t>(std::size(kSizes)))]; }

TEST(Matmul, EveryFormatAndOrientationOnEveryTier) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    Random random(5);
    for (int32_t flags = 0; flags < 60 && !HasFailure(); ++flags) {
      // The emulator is slow: two of the eight for each combination, every one for some.
      for (int turn = 0; turn < (kCpu ? 8 : 2); ++turn) {
        const int repeat = kCpu ? turn : (turn * 4 + flags + simd) % 8;
        Case x = {any_size(random), any_size(random), any_size(random)};
        x.a_dtype = flags % 3;
        x.b_dtype = flags / 3 % 5;
        x.transpose_a = flags / 15 % 2;
        x.transpose_b = flags / 30;
        x.gap = repeat % 3 == 0 ? 3 : 0;
        x.bias_dtype = static_cast<int32_t>(random.below(4)) - 1;
        x.alpha = repeat % 2 == 0 ? 1.0f : -0.75f;
        x.beta = repeat % 4 == 0 ? 0.0f : repeat % 4 == 1 ? 1.0f : repeat % 4 == 2 ? 0.5f : 0.0f;
        check(context, simd, x);
      }
    }
  }
}

TEST(Matmul, EverySmallShapeOnEveryTier) {
  // The emulated kernels have one tile for all of these; its edges are what differs.
  const std::vector<int64_t> rows =
      kCpu ? std::vector<int64_t>{1, 2, 3, 7, 8, 9, 13, 14, 15, 17, 29} : std::vector<int64_t>{1, 3, 8, 9, 29};
  const std::vector<int64_t> columns = kCpu ? std::vector<int64_t>{1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 49, 65}
                                            : std::vector<int64_t>{1, 4, 7, 16, 33, 65};
  const std::vector<int64_t> steps =
      kCpu ? std::vector<int64_t>{1, 3, 8, 17, 31, 32} : std::vector<int64_t>{1, 8, 17, 31};
  for (int32_t simd : tiers()) {
    Context context(simd);
    for (int64_t m : rows) {
      for (int64_t n : columns) {
        for (int64_t k : steps) {
          for (int32_t transposes = 0; transposes < 4 && !HasFailure(); ++transposes) {
            check(context, simd,
                  {.m = m, .n = n, .k = k, .transpose_a = transposes & 1, .transpose_b = transposes >> 1});
          }
        }
      }
    }
  }
}

TEST(Matmul, SpansSeveralBlocksRowChunksAndPackings) {
  if (!kCpu) {  // row chunks and packings are the CPU's
    Context context(2);
    check(context, 2, {.m = 40, .n = 300, .k = 600, .b_dtype = LN_BF16, .bias_dtype = LN_F32, .beta = 1});
    check(context, 2, {.m = 130, .n = 17, .k = 300, .transpose_a = 1, .transpose_b = 0, .beta = 1});
    check(context, 2, {.m = 5, .n = 2304, .k = 70, .b_dtype = LN_FP4, .transpose_b = 0, .beta = 1});
    return;
  }
  for (int32_t simd : tiers()) {
    for (int32_t threads : {1, 3}) {
      Context context(simd, threads);
      check(context, simd, {.m = 40, .n = 300, .k = 600, .b_dtype = LN_BF16, .bias_dtype = LN_F32, .beta = 1});
      check(context, simd, {.m = 600, .n = 33, .k = 2600, .bias_dtype = LN_BF16, .beta = 0.5f});
      check(context, simd, {.m = 5, .n = 1100, .k = 700, .transpose_b = 0, .bias_dtype = LN_F16});
      check(context, simd, {.m = 530, .n = 17, .k = 300, .transpose_a = 1, .transpose_b = 0, .beta = 1});
      // 4-bit lines of more runs than are decoded together, and blocks that end inside a packing.
      check(context, simd, {.m = 5, .n = 70, .k = 2304, .b_dtype = LN_NF4});
      check(context, simd, {.m = 5, .n = 2304, .k = 70, .b_dtype = LN_FP4, .transpose_b = 0, .beta = 1});
      check(context, simd, {.m = 40, .n = 300, .k = 832, .b_dtype = LN_NF4, .bias_dtype = LN_F32});
      check(context, simd, {.m = 40, .n = 832, .k = 600, .b_dtype = LN_NF4, .transpose_b = 0});
      // Just more k than is packed at once: the rest would fit beside it, but must wait for its sums.
      check(context, simd, {.m = 518, .n = 40, .k = 1800});
      check(context, simd, {.m = 518, .n = 40, .k = 2000});
    }
  }
}

TEST(Matmul, WithoutStepsOfKOnlyScalesAndAddsTheBias) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    for (int64_t m : {1, 20}) {
      check(context, simd, {.m = m, .n = 37, .k = 0, .bias_dtype = LN_F32, .beta = 0.5f});
      check(context, simd, {.m = m, .n = 37, .k = 0});
    }
  }
}

TEST(Matmul, WithoutRowsOrColumnsDoesNothing) {
  Context context;
  ln_matmul_args args{};
  args.k = 3;
  args.lda = 3;
  args.ldb = 3;
  args.transpose_b = 1;
  EXPECT_EQ(LN_OK, ln_matmul(context, &args)) << context.error();
  args.m = 4;
  EXPECT_EQ(LN_OK, ln_matmul(context, &args)) << context.error();
}

TEST(Matmul, NotANumberAndInfinityReachExactlyTheirRowsAndColumns) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (int64_t m : {3, 40}) {
      for (int32_t transpose_b : {0, 1}) {
        Fixture fixture({.m = m, .n = 37, .k = 70, .transpose_b = transpose_b});
        fixture.a.floats()[1 * 70 + 68] = NAN;
        fixture.a.floats()[2 * 70 + 3] = INFINITY;
        float* const b = fixture.b.floats();
        for (int64_t j = 0; j < 37; ++j) b[transpose_b ? j * 70 + 3 : 3 * 37 + j] = j == 36 ? 0.0f : 1.0f;
        fixture.run(context);
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < 37; ++j) {
            const double c = fixture.c(i, j);
            const bool right = i == 1    ? std::isnan(c)
                               : i != 2  ? std::isfinite(c)
                               : j == 36 ? std::isnan(c)
                                         : c == INFINITY;
            ASSERT_TRUE(right) << simd_name(simd) << " m " << m << " row " << i << " column " << j << " is " << c;
          }
        }
      }
    }
  }
}

TEST(Matmul, HalfPrecisionInfinityAndNotANumberAreRead) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    for (int32_t dtype : {LN_BF16, LN_F16}) {
      Fixture fixture({.m = 20, .n = 35, .k = 33, .b_dtype = dtype});
      for (int64_t i = 0; i < 20 * 33; ++i) fixture.a.floats()[i] = 1;
      fixture.b.halves()[34 * 33 + 32] = dtype == LN_BF16 ? 0x7f80 : 0x7c00;  // infinity
      fixture.b.halves()[33 * 33 + 1] = dtype == LN_BF16 ? 0x7fc1 : 0x7e01;   // NaN
      fixture.run(context);
      EXPECT_TRUE(std::isfinite(fixture.c(0, 32)));
      EXPECT_TRUE(std::isnan(fixture.c(19, 33)));
      EXPECT_EQ(INFINITY, fixture.c(19, 34));
    }
  }
}

TEST(Matmul, SameBytesForEveryNumberOfThreads) {
  if (!kCpu) GTEST_SKIP() << "threads are the CPU's; schedules: CudaMatmul.SameBytesForEverySchedule";
  const Case cases[] = {{.m = 300, .n = 200, .k = 500, .bias_dtype = LN_F32},
                        {.m = 3, .n = 5000, .k = 200, .b_dtype = LN_BF16, .beta = 0.3f},
                        {.m = 6, .n = 3001, .k = 90, .transpose_b = 0},
                        {.m = 2, .n = 5000, .k = 256, .b_dtype = LN_NF4},
                        {.m = 300, .n = 512, .k = 300, .b_dtype = LN_NF4, .transpose_b = 0},
                        {.m = 1000, .n = 16, .k = 257, .transpose_a = 1, .transpose_b = 0, .beta = 1}};
  for (int32_t simd : tiers()) {
    for (const Case& x : cases) {
      Context one(simd, 1);
      Fixture expected(x);
      expected.run(one);
      for (int32_t threads : {2, 3, 8}) {
        Context context(simd, threads);
        Fixture actual(x);
        actual.run(context);
        expect_identical(actual.c.floats(), expected.c.floats(), x.m * x.n,
                         x.text(simd) + " threads " + std::to_string(threads));
      }
    }
  }
}

TEST(Matmul, RefusesBadArguments) {
  Context context;
  Fixture fixture({.m = 4, .n = 5, .k = 6});
  const auto refuses = [&](const std::string& text, auto change) {
    ln_matmul_args args = fixture.args;
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_matmul(context, &args));
    EXPECT_EQ("ln_matmul: " + text, context.error());
  };
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_matmul(nullptr, &fixture.args));
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_matmul(context, nullptr));
  EXPECT_EQ("ln_matmul: args is NULL", context.error());
  refuses("m is -1, must be at least 0", [](auto& args) { args.m = -1; });
  refuses("n is -2, must be at least 0", [](auto& args) { args.n = -2; });
  refuses("k is -3, must be at least 0", [](auto& args) { args.k = -3; });
  refuses("a is NULL", [](auto& args) { args.a = nullptr; });
  refuses("b is NULL", [](auto& args) { args.b = nullptr; });
  refuses("c is NULL", [](auto& args) { args.c = nullptr; });
  refuses("lda is 5, must be at least 6", [](auto& args) { args.lda = 5; });
  refuses("lda is 3, must be at least 4", [](auto& args) { args.transpose_a = 1, args.lda = 3; });
  refuses("ldb is 5, must be at least 6", [](auto& args) { args.ldb = 5; });
  refuses("ldb is 4, must be at least 5", [](auto& args) { args.transpose_b = 0, args.ldb = 4; });
  refuses("ldc is 4, must be at least 5", [](auto& args) { args.ldc = 4; });
  refuses("a_dtype is 3, a 4-bit type; only weights are", [](auto& args) { args.a_dtype = 3; });
  refuses("a_dtype is 5, not an ln_dtype", [](auto& args) { args.a_dtype = 5; });
  refuses("b_dtype is -1, not an ln_dtype", [](auto& args) { args.b_dtype = -1; });
  refuses("bias_dtype is 9, not an ln_dtype", [](auto& args) { args.bias = args.a, args.bias_dtype = 9; });
  refuses("transpose_a is 2, must be 0 or 1", [](auto& args) { args.transpose_a = 2; });
  refuses("transpose_b is -1, must be 0 or 1", [](auto& args) { args.transpose_b = -1; });
  refuses("a is not aligned to 4 bytes", [](auto& args) { args.a = static_cast<const char*>(args.a) + 2; });
  refuses("b is not aligned to 2 bytes",
          [](auto& args) { args.b_dtype = LN_BF16, args.b = static_cast<const char*>(args.b) + 1; });
  refuses("bias is not aligned to 4 bytes",
          [](auto& args) { args.bias_dtype = LN_F32, args.bias = static_cast<const char*>(args.a) + 1; });
}

TEST(Matmul, RefusesScratchThatIsTooSmallAndWritesNothing) {
  if (!kCpu) GTEST_SKIP() << "a small product needs no scratch there; CudaMatmul has one that does";
  Context context;
  Fixture fixture({.m = 40, .n = 5, .k = 6, .beta = 1});
  const Oracle before = [&] {
    Oracle values(40, 5);
    for (int64_t i = 0; i < 40; ++i) {
      for (int64_t j = 0; j < 5; ++j) values(i, j) = fixture.c(i, j);
    }
    return values;
  }();
  int64_t bytes = 0;
  ASSERT_EQ(LN_OK, ln_scratch_bytes(context, LN_OP_MATMUL, &fixture.args, &bytes));
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_matmul(context, &fixture.args));
  EXPECT_EQ("ln_matmul: needs " + std::to_string(bytes) + " bytes of scratch, the context has 0", context.error());
  for (int64_t i = 0; i < 40 * 5; ++i) EXPECT_EQ(before.values[static_cast<size_t>(i)], fixture.c.floats()[i]);
}

}  // namespace
}  // namespace ln::test
