// ln_linear on the ways that only the CUDA library has. Products in bfloat16 are compared with those of rounded
// operands; what an op computes itself and uses again (u, v) is taken from its result.
#include <cstdlib>

#include "product_cases.hpp"

namespace ln::test {
namespace {

constexpr float kScale = 0.75f;

struct Case {
  int64_t rows, in, out, rank;
  int32_t weight_dtype = LN_F32;
  int32_t bias_dtype = -1;  // none
  bool dropout = false;
  int32_t accumulate = 0;

  std::string text() const {
    return "rows " + std::to_string(rows) + " in " + std::to_string(in) + " out " + std::to_string(out) + " rank " +
           std::to_string(rank) + " weight " + dtype_name(weight_dtype) + (dropout ? " dropout" : "") +
           (accumulate ? " accumulate" : "");
  }
};

struct Fixture {
  Case x;
  Random random{29};
  TestMatrix input, lora_x, weight, bias, lora_a, lora_b, u, y, dy, v, grad_a, grad_b, dx, dlora_x;

  explicit Fixture(const Case& c)
      : x(c),
        input(c.rows, c.in, LN_F32, random),
        lora_x(c.rows, c.in, LN_F32, random),
        weight(c.out, c.in, c.weight_dtype, random),
        bias(1, c.out, c.bias_dtype < 0 ? LN_F32 : c.bias_dtype, random),
        lora_a(c.rank, c.in, LN_F32, random),
        lora_b(c.out, c.rank, LN_F32, random),
        u(c.rows, c.rank, LN_F32, random),
        y(c.rows, c.out, LN_F32, random),
        dy(c.rows, c.out, LN_F32, random),
        v(c.rows, c.rank, LN_F32, random),
        grad_a(c.rank, c.in, LN_F32, random),
        grad_b(c.out, c.rank, LN_F32, random),
        dx(c.rows, c.in, LN_F32, random),
        dlora_x(c.rows, c.in, LN_F32, random) {}

  const TestMatrix& adapter_input() const { return x.dropout ? lora_x : input; }

  void forward(Context& context) {
    for (int64_t i = 0; i < x.rows * x.out; ++i) y.floats()[i] = NAN;
    for (int64_t i = 0; i < x.rows * x.rank; ++i) u.floats()[i] = NAN;
    const ln_linear_fwd_args args = {input.floats(),  x.dropout ? lora_x.floats() : nullptr,
                                     weight.data(),   x.bias_dtype < 0 ? nullptr : bias.data(),
                                     lora_a.floats(), lora_b.floats(),
                                     u.floats(),      y.floats(),
                                     x.rows,          x.in,
                                     x.out,           x.rank,
                                     x.weight_dtype,  x.bias_dtype,
                                     kScale,          0};
    context.reserve(LN_OP_LINEAR_FWD, args);
    ASSERT_EQ(LN_OK, ln_linear_fwd(context, &args)) << context.error();
    u.refresh();
  }

  void backward(Context& context) {
    for (int64_t i = 0; i < x.rows * x.rank; ++i) v.floats()[i] = NAN;
    for (int64_t i = 0; i < x.rows * x.in; ++i) {
      if (!x.accumulate) dx.floats()[i] = NAN;
      dlora_x.floats()[i] = NAN;
    }
    const ln_linear_bwd_args args = {dy.floats(),
                                     input.floats(),
                                     x.dropout ? lora_x.floats() : nullptr,
                                     weight.data(),
                                     lora_a.floats(),
                                     lora_b.floats(),
                                     u.floats(),
                                     v.floats(),
                                     grad_a.floats(),
                                     grad_b.floats(),
                                     dx.floats(),
                                     x.dropout ? dlora_x.floats() : nullptr,
                                     x.rows,
                                     x.in,
                                     x.out,
                                     x.rank,
                                     x.weight_dtype,
                                     x.accumulate,
                                     kScale,
                                     0};
    context.reserve(LN_OP_LINEAR_BWD, args);
    ASSERT_EQ(LN_OK, ln_linear_bwd(context, &args)) << context.error();
    v.refresh();
  }
};

void check_forward(Context& context, const Case& x, bool bf16) {
  Fixture f(x);
  f.forward(context);
  const bool rounds = bf16 && x.rows > 8;
  Oracle u(x.rows, x.rank), y(x.rows, x.out);
  add_product(u, x.rows, x.rank, x.in, 1, Seen{&f.adapter_input(), rounds}, Seen{&f.lora_a, rounds, true});
  expect_product(f.u.floats(), u, x.in, x.text() + " u");
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < x.out; ++j) y(i, j) = x.bias_dtype < 0 ? 0 : f.bias(0, j);
  }
  add_product(y, x.rows, x.out, x.in, 1, Seen{&f.input, rounds}, Seen{&f.weight, rounds, true});
  add_product(y, x.rows, x.out, x.rank, kScale, Seen{&f.u, rounds}, Seen{&f.lora_b, rounds, true});
  expect_product(f.y.floats(), y, x.in * (1 + x.rank), x.text() + " y");
}

void check_backward(Context& context, const Case& x, bool bf16) {
  Fixture f(x);
  const auto copy = [](const TestMatrix& m) {
    Oracle result(m.rows(), m.columns());
    for (int64_t i = 0; i < m.rows(); ++i) {
      for (int64_t j = 0; j < m.columns(); ++j) result(i, j) = m(i, j);
    }
    return result;
  };
  Oracle v(x.rows, x.rank), grad_a = copy(f.grad_a), grad_b = copy(f.grad_b), dlora_x(x.rows, x.in);
  Oracle dx = x.accumulate ? copy(f.dx) : Oracle(x.rows, x.in);
  f.backward(context);
  add_product(v, x.rows, x.rank, x.out, kScale, Seen{&f.dy, bf16}, Seen{&f.lora_b, bf16});
  expect_product(f.v.floats(), v, x.out, x.text() + " v");
  add_product(grad_b, x.out, x.rank, x.rows, kScale, Seen{&f.dy, bf16, true}, Seen{&f.u, bf16});
  expect_product(f.grad_b.floats(), grad_b, x.rows, x.text() + " grad_b");
  add_product(grad_a, x.rank, x.in, x.rows, 1, Seen{&f.v, bf16, true}, Seen{&f.adapter_input(), bf16});
  expect_product(f.grad_a.floats(), grad_a, x.rows * x.out, x.text() + " grad_a");
  add_product(dx, x.rows, x.in, x.out, 1, Seen{&f.dy, bf16}, Seen{&f.weight, bf16});
  add_product(x.dropout ? dlora_x : dx, x.rows, x.in, x.rank, 1, Seen{&f.v, bf16}, Seen{&f.lora_a, bf16});
  expect_product(f.dx.floats(), dx, x.out * (1 + x.rank), x.text() + " dx");
  if (x.dropout) expect_product(f.dlora_x.floats(), dlora_x, x.out * (1 + x.rank), x.text() + " dlora_x");
}

const Case kSmall[] = {{1, 64, 40, 8, LN_NF4, LN_F32},
                       {2, 72, 33, 3, LN_BF16, -1, true},
                       {5, 257, 31, 16, LN_FP4, LN_BF16, false, 1},
                       {8, 128, 24, 5, LN_F16, LN_F16, true, 1},
                       {9, 64, 64, 16, LN_NF4, LN_F32},
                       {31, 33, 65, 1, LN_NF4, -1, true},
                       {33, 100, 129, 64, LN_BF16, LN_F32, false, 1},
                       {64, 128, 72, 32, LN_FP4, -1, true},
                       {65, 63, 3, 16, LN_F32},
                       {100, 136, 104, 24, LN_NF4, LN_BF16, false, 1}};

/// Through scratch, forward (in 64 and more, out 128 and more) and backward (the other way round).
const Case kLarge[] = {{256, 136, 136, 16, LN_NF4, LN_F32, false, 1},
                       {300, 130, 141, 3, LN_FP4, -1, true},
                       {257, 128, 128, 8, LN_BF16, LN_BF16}};

/// Thin products in slices.
const Case kSliced[] = {{1040, 16, 24, 8, LN_F32}, {12, 1024, 40, 16, LN_NF4, LN_F32}, {12, 40, 1031, 16, LN_NF4}};

template <typename Cases>
void check_all(const Cases& cases, int32_t precision, int32_t gemm) {
  int32_t number = 0;
  for (const Case& x : cases) {
    Context context(product_options(number++ % 3, precision, gemm));
    check_forward(context, x, precision == LN_PRECISION_BF16);
    check_backward(context, x, precision == LN_PRECISION_BF16);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(CudaLinear, TilesInBfloat16AndTheirEdges) { check_all(kSmall, LN_PRECISION_BF16, LN_GEMM_OWN); }
TEST(CudaLinear, LargeOnesThroughScratch) { check_all(kLarge, LN_PRECISION_BF16, LN_GEMM_OWN); }
TEST(CudaLinear, SlicesOfSumsInBfloat16) { check_all(kSliced, LN_PRECISION_BF16, LN_GEMM_OWN); }

TEST(CudaLinear, SameCasesThroughCublas) {
  setenv("LORA_NATIVE_CUBLAS", LN_FAKE_CUBLAS, 1);
  for (int32_t precision : {LN_PRECISION_BF16, LN_PRECISION_F32}) {
    check_all(kSmall, precision, LN_GEMM_CUBLAS);
    check_all(kLarge, precision, LN_GEMM_CUBLAS);
  }
  unsetenv("LORA_NATIVE_CUBLAS");
}

TEST(CudaLinear, SameBytesForEverySchedule) {
  for (const Case& x : {kSmall[2], kSmall[6], kLarge[1], kSliced[0]}) {
    Context first(product_options(0, LN_PRECISION_BF16)), second(product_options(1, LN_PRECISION_BF16));
    Fixture expected(x), actual(x);
    for (auto* run : {&expected, &actual}) {
      Context& context = run == &expected ? first : second;
      run->forward(context);
      run->backward(context);
    }
    expect_identical(actual.u.floats(), expected.u.floats(), x.rows * x.rank, x.text() + " u");
    expect_identical(actual.y.floats(), expected.y.floats(), x.rows * x.out, x.text() + " y");
    expect_identical(actual.v.floats(), expected.v.floats(), x.rows * x.rank, x.text() + " v");
    expect_identical(actual.dx.floats(), expected.dx.floats(), x.rows * x.in, x.text() + " dx");
    expect_identical(actual.grad_a.floats(), expected.grad_a.floats(), x.rank * x.in, x.text() + " grad_a");
    expect_identical(actual.grad_b.floats(), expected.grad_b.floats(), x.out * x.rank, x.text() + " grad_b");
  }
}

TEST(CudaLinear, RefusesScratchThatIsTooSmall) {
  Context context(product_options(0, LN_PRECISION_BF16));
  Fixture f(kLarge[0]);
  ln_linear_fwd_args forward = {
      f.input.floats(), nullptr,  f.weight.data(), nullptr, f.lora_a.floats(), f.lora_b.floats(), f.u.floats(),
      f.y.floats(),     f.x.rows, f.x.in,          f.x.out, f.x.rank,          f.x.weight_dtype,  0,
      kScale,           0};
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_linear_fwd(context, &forward));
  EXPECT_EQ(0u, context.error().find("ln_linear_fwd: needs ")) << context.error();
  ln_linear_bwd_args backward = {f.dy.floats(),
                                 f.input.floats(),
                                 nullptr,
                                 f.weight.data(),
                                 f.lora_a.floats(),
                                 f.lora_b.floats(),
                                 f.u.floats(),
                                 f.v.floats(),
                                 f.grad_a.floats(),
                                 f.grad_b.floats(),
                                 f.dx.floats(),
                                 nullptr,
                                 f.x.rows,
                                 f.x.in,
                                 f.x.out,
                                 f.x.rank,
                                 f.x.weight_dtype,
                                 0,
                                 kScale,
                                 0};
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_linear_bwd(context, &backward));
  EXPECT_EQ(0u, context.error().find("ln_linear_bwd: needs ")) << context.error();
}

}  // namespace
}  // namespace ln::test
