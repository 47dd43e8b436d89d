// ln_matmul on the ways that only the CUDA library has: bfloat16 tiles and their edges, operands converted in scratch,
// sums in slices, cuBLAS. Operands are rounded before the oracle multiplies them, so what is left is the error of
// float32 sums.
#include <cstdlib>

#include "product_cases.hpp"

namespace ln::test {
namespace {

struct Case {
  int64_t m, n, k;
  int32_t a_dtype = LN_F32, b_dtype = LN_F32;
  int32_t transpose_a = 0, transpose_b = 1;
  int64_t gap = 0;
  int32_t bias_dtype = -1;  // none
  float alpha = 1, beta = 0;

  std::string text() const {
    return "m " + std::to_string(m) + " n " + std::to_string(n) + " k " + std::to_string(k) + " a " +
           dtype_name(a_dtype) + (transpose_a ? "^T" : "") + " b " + dtype_name(b_dtype) + (transpose_b ? "^T" : "") +
           " gap " + std::to_string(gap) + " bias " + std::to_string(bias_dtype) + " alpha " + std::to_string(alpha) +
           " beta " + std::to_string(beta);
  }
  /// Few rows are multiplied in float32 whatever the precision.
  bool few_rows() const { return m <= 8 && !transpose_a && transpose_b; }
};

struct Fixture {
  Random random{23};
  TestMatrix a, b, bias, c;
  ln_matmul_args args{};

  explicit Fixture(const Case& x)
      : a(x.transpose_a ? x.k : x.m, x.transpose_a ? x.m : x.k, x.a_dtype, random, x.gap),
        b(x.transpose_b ? x.n : x.k, x.transpose_b ? x.k : x.n, x.b_dtype, random, x.gap),
        bias(1, x.n, x.bias_dtype < 0 ? LN_F32 : x.bias_dtype, random),
        c(x.m, x.n, LN_F32, random, x.gap) {
    args = {a.data(),     b.data(),      x.bias_dtype < 0 ? nullptr : bias.data(),
            c.floats(),   x.m,           x.n,
            x.k,          a.ld(),        b.ld(),
            c.ld(),       x.a_dtype,     x.b_dtype,
            x.bias_dtype, x.transpose_a, x.transpose_b,
            x.alpha,      x.beta,        0};
    for (int64_t i = 0; i < x.m && x.beta == 0; ++i) {
      for (int64_t j = 0; j < x.n; ++j) c.floats()[i * c.ld() + j] = NAN;  // not read
    }
  }

  Oracle expected(bool rounds) const {
    Oracle result(args.m, args.n);
    for (int64_t i = 0; i < args.m; ++i) {
      for (int64_t j = 0; j < args.n; ++j) {
        result(i, j) = (args.bias == nullptr ? 0.0 : bias(0, j)) + (args.beta == 0 ? 0.0 : args.beta * c(i, j));
      }
    }
    add_product(result, args.m, args.n, args.k, args.alpha, Seen{&a, rounds, args.transpose_a != 0},
                Seen{&b, rounds, args.transpose_b != 0});
    return result;
  }

  std::vector<float> run(Context& context) {
    context.reserve(LN_OP_MATMUL, args);
    EXPECT_EQ(LN_OK, ln_matmul(context, &args)) << context.error();
    c.refresh();
    std::vector<float> actual;
    for (int64_t i = 0; i < args.m; ++i) {
      for (int64_t j = 0; j < args.n; ++j) actual.push_back(static_cast<float>(c(i, j)));
    }
    return actual;
  }
};

void check(Context& context, const Case& x, bool bf16) {
  Fixture fixture(x);
  const Oracle expected = fixture.expected(bf16 && !x.few_rows());
  const std::vector<float> actual = fixture.run(context);
  expect_product(actual.data(), expected, x.k, x.text());
}

/// Sizes around the edges of tiles; every second case has sizes whose chunks are whole.
std::vector<Case> edges() {
  constexpr int64_t kRagged[] = {1, 3, 31, 33, 63, 65, 100, 129}, kWhole[] = {8, 16, 24, 64, 72, 104, 128, 136};
  std::vector<Case> found;
  Random random(3);
  for (int32_t number = 0; number < 60; ++number) {
    const auto& sizes = number % 2 == 0 ? kRagged : kWhole;
    Case x = {sizes[random.below(8)], sizes[random.below(8)], sizes[random.below(8)]};
    x.a_dtype = number / 2 % 3;
    x.b_dtype = number / 2 % 5;
    x.transpose_a = number / 30;
    x.transpose_b = number / 15 % 2;
    x.gap = number % 6 == 0 ? 3 : number % 6 == 1 ? 8 : 0;
    x.bias_dtype = static_cast<int32_t>(random.below(4)) - 1;
    x.alpha = number % 3 == 0 ? -0.75f : 1.0f;
    x.beta = number % 4 == 0 ? 0.5f : 0.0f;
    found.push_back(x);
  }
  return found;
}

/// Large enough to be brought into scratch first, then 128 x 128 tiles.
const Case kLarge[] = {
    {.m = 256, .n = 128, .k = 64},
    {.m = 257, .n = 129, .k = 65, .b_dtype = LN_NF4, .bias_dtype = LN_F32},
    {.m = 300, .n = 136, .k = 200, .b_dtype = LN_FP4, .transpose_b = 0, .beta = 1},
    {.m = 256, .n = 144, .k = 96, .a_dtype = LN_BF16, .b_dtype = LN_BF16, .transpose_a = 1},
    {.m = 270, .n = 130, .k = 70, .a_dtype = LN_BF16, .b_dtype = LN_BF16, .gap = 3, .alpha = -0.5f},
    {.m = 264, .n = 136, .k = 72, .a_dtype = LN_F16, .b_dtype = LN_F16, .transpose_a = 1, .transpose_b = 0},
    {.m = 256, .n = 128, .k = 1030, .b_dtype = LN_BF16, .bias_dtype = LN_BF16}};

/// Summed in slices of k.
const Case kSliced[] = {{.m = 16, .n = 40, .k = 1100, .b_dtype = LN_NF4, .bias_dtype = LN_F32, .alpha = 0.5f},
                        {.m = 70, .n = 16, .k = 1024, .beta = 1},
                        {.m = 64, .n = 33, .k = 776, .b_dtype = LN_BF16, .transpose_a = 1, .transpose_b = 0},
                        {.m = 24, .n = 64, .k = 2048, .b_dtype = LN_FP4, .transpose_b = 0}};

/// A warp per some columns; whole and ragged.
const Case kFewRows[] = {{.m = 1, .n = 37, .k = 4096, .b_dtype = LN_NF4, .bias_dtype = LN_F16},
                         {.m = 2, .n = 8, .k = 2056, .b_dtype = LN_BF16, .beta = 1},
                         {.m = 3, .n = 5, .k = 100, .a_dtype = LN_BF16, .b_dtype = LN_FP4},
                         {.m = 4, .n = 129, .k = 64, .a_dtype = LN_F16, .b_dtype = LN_F16, .alpha = 2},
                         {.m = 7, .n = 31, .k = 1025, .b_dtype = LN_NF4},
                         {.m = 8, .n = 3, .k = 33}};

template <typename Cases>
void check_all(const Cases& cases, int32_t precision, int32_t gemm) {
  int32_t number = 0;
  for (const Case& x : cases) {
    Context context(product_options(number++ % 3, precision, gemm));
    check(context, x, precision == LN_PRECISION_BF16);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(CudaMatmul, TilesInBfloat16AndTheirEdges) { check_all(edges(), LN_PRECISION_BF16, LN_GEMM_OWN); }
TEST(CudaMatmul, LargeOnesThroughScratch) { check_all(kLarge, LN_PRECISION_BF16, LN_GEMM_OWN); }
TEST(CudaMatmul, SlicesOfKInBfloat16) { check_all(kSliced, LN_PRECISION_BF16, LN_GEMM_OWN); }
TEST(CudaMatmul, SlicesOfKInFloat32) { check_all(kSliced, LN_PRECISION_F32, LN_GEMM_OWN); }
TEST(CudaMatmul, FewRows) { check_all(kFewRows, LN_PRECISION_BF16, LN_GEMM_OWN); }

TEST(CudaMatmul, SameBytesForEverySchedule) {
  for (const Case& x : {kLarge[1], kSliced[0], kFewRows[0], Case{.m = 70, .n = 65, .k = 100, .b_dtype = LN_FP4}}) {
    Context first(product_options(0, LN_PRECISION_BF16)), second(product_options(2, LN_PRECISION_BF16));
    Fixture expected(x), actual(x);
    expect_identical(actual.run(second).data(), expected.run(first).data(), x.m * x.n, x.text());
  }
}

TEST(CudaMatmul, RefusesScratchThatIsTooSmallAndWritesNothing) {
  Context context(product_options(0, LN_PRECISION_BF16));
  Fixture fixture({.m = 256, .n = 128, .k = 64, .b_dtype = LN_NF4, .beta = 1});
  const float before = fixture.args.c[0];
  int64_t bytes = 0;
  ASSERT_EQ(LN_OK, ln_scratch_bytes(context, LN_OP_MATMUL, &fixture.args, &bytes));
  EXPECT_EQ(256 * 64 * 2 + 128 * 64 * 2, bytes);
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_matmul(context, &fixture.args));
  EXPECT_EQ("ln_matmul: needs " + std::to_string(bytes) + " bytes of scratch, the context has 0", context.error());
  EXPECT_EQ(before, fixture.args.c[0]);
}

/// The 4-bit weight in scratch and in the tile's loader are the same bfloat16 numbers: a row of a unit matrix picks
/// one.
TEST(CudaMatmul, DecodesTheSameNumbersOnEveryWay) {
  for (int32_t dtype : {LN_NF4, LN_FP4}) {
    for (int64_t m : {16, 256}) {
      Fixture fixture({.m = m, .n = 128, .k = 256, .b_dtype = dtype});
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t p = 0; p < 256; ++p) fixture.a.floats()[i * 256 + p] = i == p ? 1.0f : 0.0f;
      }
      Context context(product_options(0, LN_PRECISION_BF16));
      const std::vector<float> actual = fixture.run(context);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < 128; ++j) {
          ASSERT_EQ(rounded_to_bf16(fixture.b(j, i)), actual[static_cast<size_t>(i * 128 + j)]) << i << " " << j;
        }
      }
    }
  }
}

/// A library with the symbols of cuBLAS that multiplies on host memory (fake_cublas.cpp).
class CudaCublas : public testing::Test {
 protected:
  void SetUp() override { setenv("LORA_NATIVE_CUBLAS", LN_FAKE_CUBLAS, 1); }
  void TearDown() override { unsetenv("LORA_NATIVE_CUBLAS"); }
};

TEST_F(CudaCublas, IsTakenWhereItIsFoundAndTellsItsVersion) {
  for (int32_t gemm : {LN_GEMM_AUTO, LN_GEMM_CUBLAS}) {
    Context context(product_options(0, LN_PRECISION_BF16, gemm));
    int64_t value = 0;
    ASSERT_EQ(LN_OK, ln_query(context, LN_QUERY_GEMM, &value));
    EXPECT_EQ(LN_GEMM_CUBLAS, value);
    ASSERT_EQ(LN_OK, ln_query(context, LN_QUERY_CUBLAS_VERSION, &value));
    EXPECT_EQ(120304, value);
  }
}

TEST_F(CudaCublas, SameCasesInBfloat16) {
  check_all(edges(), LN_PRECISION_BF16, LN_GEMM_CUBLAS);
  check_all(kLarge, LN_PRECISION_BF16, LN_GEMM_CUBLAS);
  check_all(kSliced, LN_PRECISION_BF16, LN_GEMM_CUBLAS);
  check_all(kFewRows, LN_PRECISION_BF16, LN_GEMM_CUBLAS);
}

TEST_F(CudaCublas, SameCasesInFloat32) {
  check_all(edges(), LN_PRECISION_F32, LN_GEMM_CUBLAS);
  check_all(kLarge, LN_PRECISION_F32, LN_GEMM_CUBLAS);
  check_all(kSliced, LN_PRECISION_F32, LN_GEMM_CUBLAS);
}

TEST_F(CudaCublas, WhatItReportsIsTold) {
  Context context(product_options(0, LN_PRECISION_BF16, LN_GEMM_CUBLAS));
  Fixture fixture({.m = 31, .n = 40, .k = 50});
  context.reserve(LN_OP_MATMUL, fixture.args);
  setenv("LORA_NATIVE_FAKE_CUBLAS_STATUS", "13", 1);
  EXPECT_EQ(LN_DEVICE_ERROR, ln_matmul(context, &fixture.args));
  unsetenv("LORA_NATIVE_FAKE_CUBLAS_STATUS");
  EXPECT_EQ("ln_matmul: cublasGemmEx returns status 13 for m 31, n 40, k 50", context.error());
}

TEST(CudaContext, WithoutCublasOwnKernelsAreTakenOrTheDemandRefused) {
  setenv("LORA_NATIVE_CUBLAS", "/nowhere/libcublas.so.13", 1);
  {
    Context context(product_options(0, LN_PRECISION_BF16, LN_GEMM_AUTO));
    int64_t value = 0;
    ASSERT_EQ(LN_OK, ln_query(context, LN_QUERY_GEMM, &value));
    EXPECT_EQ(LN_GEMM_OWN, value);
    ASSERT_EQ(LN_OK, ln_query(context, LN_QUERY_CUBLAS_VERSION, &value));
    EXPECT_EQ(0, value);
  }
  ln_context* context = nullptr;
  ln_context_options options = product_options(0, LN_PRECISION_BF16, LN_GEMM_CUBLAS);
  EXPECT_EQ(LN_UNSUPPORTED, ln_context_create(&options, &context));
  const std::string error = ln_last_error(nullptr);
  EXPECT_EQ(0u, error.find("ln_context_create: cuBLAS is asked for, but cannot be used: LORA_NATIVE_CUBLAS: "))
      << error;
  EXPECT_NE(std::string::npos, error.find("/nowhere/libcublas.so.13")) << error;
  options.gemm = 3;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_context_create(&options, &context));
  EXPECT_EQ("ln_context_create: gemm is 3, not an ln_gemm", std::string(ln_last_error(nullptr)));
  unsetenv("LORA_NATIVE_CUBLAS");
}

}  // namespace
}  // namespace ln::test
