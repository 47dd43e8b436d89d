#include "matrices.hpp"

namespace ln::test {
namespace {

struct Case {
  int64_t rows, in, out, rank = 0;
  int32_t weight_dtype = LN_F32;
  int32_t bias_dtype = -1;  // none
  bool dropout = false;     // lora_x given (and dlora_x in the backward pass)
  int32_t accumulate = 0;
  bool frozen = false;  // grad_a and grad_b NULL
  bool input = true;    // dx wanted

  std::string text(int32_t simd) const {
    return std::string(simd_name(simd)) + " rows " + std::to_string(rows) + " in " + std::to_string(in) + " out " +
           std::to_string(out) + " rank " + std::to_string(rank) + " weight " + dtype_name(weight_dtype) + " bias " +
           std::to_string(bias_dtype) + (dropout ? " lora_x" : "") + (accumulate ? " accumulate" : "") +
           (frozen ? " frozen" : "") + (input ? "" : " no dx");
  }
};

constexpr float kScale = 0.75f;

/// Tensors of one layer and both passes, with what they should become.
struct Fixture {
  Case x;
  Random random{17};
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

  ln_linear_fwd_args forward() {
    ln_linear_fwd_args args{};
    args.x = input.floats();
    args.lora_x = x.dropout ? lora_x.floats() : nullptr;
    args.weight = weight.data();
    args.bias = x.bias_dtype < 0 ? nullptr : bias.data();
    args.lora_a = x.rank > 0 ? lora_a.floats() : nullptr;
    args.lora_b = x.rank > 0 ? lora_b.floats() : nullptr;
    args.u = x.rank > 0 ? u.floats() : nullptr;
    args.y = y.floats();
    args.rows = x.rows;
    args.in = x.in;
    args.out = x.out;
    args.rank = x.rank;
    args.weight_dtype = x.weight_dtype;
    args.bias_dtype = x.bias_dtype;
    args.lora_scale = kScale;
    return args;
  }

  ln_linear_bwd_args backward() {
    ln_linear_bwd_args args{};
    args.dy = dy.floats();
    args.x = input.floats();
    args.lora_x = x.dropout ? lora_x.floats() : nullptr;
    args.weight = weight.data();
    if (x.rank > 0) {
      args.lora_a = lora_a.floats();
      args.lora_b = lora_b.floats();
      args.u = u.floats();
      args.v = v.floats();
      args.grad_a = x.frozen ? nullptr : grad_a.floats();
      args.grad_b = x.frozen ? nullptr : grad_b.floats();
    }
    args.dx = x.input ? dx.floats() : nullptr;
    args.dlora_x = x.input && x.dropout ? dlora_x.floats() : nullptr;
    args.rows = x.rows;
    args.in = x.in;
    args.out = x.out;
    args.rank = x.rank;
    args.weight_dtype = x.weight_dtype;
    args.accumulate = x.accumulate;
    args.lora_scale = kScale;
    return args;
  }

  void run_forward(Context& context) {
    for (int64_t i = 0; i < x.rows * x.out; ++i) y.floats()[i] = NAN;
    for (int64_t i = 0; i < x.rows * x.rank; ++i) u.floats()[i] = NAN;
    const ln_linear_fwd_args args = forward();
    context.reserve(LN_OP_LINEAR_FWD, args);
    ASSERT_EQ(LN_OK, ln_linear_fwd(context, &args)) << context.error();
  }

  void run_backward(Context& context) {
    for (int64_t i = 0; i < x.rows * x.rank; ++i) v.floats()[i] = NAN;
    for (int64_t i = 0; i < x.rows * x.in; ++i) {
      if (!x.accumulate) dx.floats()[i] = NAN;
      dlora_x.floats()[i] = NAN;
    }
    const ln_linear_bwd_args args = backward();
    context.reserve(LN_OP_LINEAR_BWD, args);
    ASSERT_EQ(LN_OK, ln_linear_bwd(context, &args)) << context.error();
  }
};

auto transposed(const TestMatrix& m) {
  return [&m](int64_t i, int64_t j) { return m(j, i); };
}

Oracle copy(const TestMatrix& m) {
  Oracle result(m.rows(), m.columns());
  for (int64_t i = 0; i < m.rows(); ++i) {
    for (int64_t j = 0; j < m.columns(); ++j) result(i, j) = m(i, j);
  }
  return result;
}

void check_forward(Context& context, int32_t simd, const Case& x) {
  Fixture f(x);
  f.run_forward(context);
  Oracle u(x.rows, x.rank), y(x.rows, x.out);
  add_product(u, x.rows, x.rank, x.in, 1, f.adapter_input(), transposed(f.lora_a));
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < x.out; ++j) y(i, j) = x.bias_dtype < 0 ? 0 : f.bias(0, j);
  }
  add_product(y, x.rows, x.out, x.in, 1, f.input, transposed(f.weight));
  add_product(y, x.rows, x.out, x.rank, kScale, u, transposed(f.lora_b));
  expect_product(f.u.floats(), u, x.in, x.text(simd) + " u");
  expect_product(f.y.floats(), y, x.in * (1 + x.rank), x.text(simd) + " y");
}

void check_backward(Context& context, int32_t simd, const Case& x) {
  Fixture f(x);
  const Oracle dx_before = copy(f.dx), grad_a_before = copy(f.grad_a), grad_b_before = copy(f.grad_b);
  Oracle grad_a = grad_a_before, grad_b = grad_b_before;
  f.run_backward(context);

  Oracle v(x.rows, x.rank);
  add_product(v, x.rows, x.rank, x.out, kScale, f.dy, f.lora_b);
  expect_product(f.v.floats(), v, x.out, x.text(simd) + " v");

  if (!x.frozen) {
    add_product(grad_b, x.out, x.rank, x.rows, kScale, transposed(f.dy), f.u);
    add_product(grad_a, x.rank, x.in, x.rows, 1, [&](int64_t i, int64_t j) { return v(j, i); }, f.adapter_input());
  }
  expect_product(f.grad_b.floats(), grad_b, x.rows, x.text(simd) + " grad_b");
  expect_product(f.grad_a.floats(), grad_a, x.rows * x.out, x.text(simd) + " grad_a");

  if (!x.input) return;
  Oracle dx = x.accumulate ? dx_before : Oracle(x.rows, x.in), dlora_x(x.rows, x.in);
  add_product(dx, x.rows, x.in, x.out, 1, f.dy, f.weight);
  add_product(x.dropout ? dlora_x : dx, x.rows, x.in, x.rank, 1, v, f.lora_a);
  expect_product(f.dx.floats(), dx, x.out * (1 + x.rank), x.text(simd) + " dx");
  if (x.dropout) expect_product(f.dlora_x.floats(), dlora_x, x.out * (1 + x.rank), x.text(simd) + " dlora_x");
}

/// Shapes of a few rows (nothing packed), of one and of several tiles, with odd edges.
std::vector<Case> cases() {
  std::vector<Case> found;
  int32_t number = 0;
  for (int64_t rank : {0, 1, 3, 8, 16, 64}) {
    for (int64_t rows : {1, 5, 8, 16, 33, 100}) {
      constexpr int64_t kWidths[][2] = {{1, 3}, {17, 63}, {257, 31}, {33, 100}, {64, 64}};
      for (const auto& [in, out] : kWidths) {
        Case x = {rows, in, out, rank};
        x.weight_dtype = (number + number / 5) % 5;
        x.bias_dtype = number / 2 % 4 - 1;
        x.dropout = number / 3 % 2 != 0;
        x.accumulate = number / 5 % 2;
        x.frozen = number % 7 == 0;
        x.input = number % 11 != 0;
        ++number;
        found.push_back(x);
      }
    }
  }
  found.push_back({600, 300, 40, 16, LN_BF16, LN_F32});
  found.push_back({70, 40, 600, 8, LN_F16, -1, true, 1});
  found.push_back({20, 30, 40, 130});  // more columns of the adapter than are packed at a time
  // More of k than is packed at a time: the adapter's inner products are computed before.
  found.push_back({520, 2000, 12, 8, LN_BF16});
  found.push_back({520, 12, 2000, 8, LN_BF16});
  return found;
}

/// The emulator is slow: each case on one schedule, and none of several CPU blocks.
bool taken(const Case& x, int32_t number, int32_t simd) { return kCpu || (number % 3 == simd && x.in * x.out < 12000); }

TEST(Linear, ForwardEqualsItsFormulaOnEveryTier) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    int32_t number = 0;
    for (const Case& x : cases()) {
      if (!taken(x, number++, simd)) continue;
      check_forward(context, simd, x);
      if (HasFailure()) return;
    }
  }
}

TEST(Linear, BackwardEqualsItsFormulaOnEveryTier) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    int32_t number = 0;
    for (const Case& x : cases()) {
      if (!taken(x, number++, simd)) continue;
      check_backward(context, simd, x);
      if (HasFailure()) return;
    }
  }
}

TEST(Linear, WithoutAdapterTheInputGradientOfTheAdapterIsZero) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    check_backward(context, simd, {.rows = 20, .in = 9, .out = 7, .rank = 0, .dropout = true});
    check_backward(context, simd, {.rows = 2, .in = 9, .out = 7, .rank = 0, .dropout = true});
  }
}

TEST(Linear, GradientsOfTheAdapterAreTheSameBytesWhetherOrNotTheInputNeedsOne) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (const Case& x : {Case{5, 300, 90, 8}, Case{130, 70, 500, 16}, Case{520, 12, 2000, 8}}) {
      if (!kCpu && x.rows > 500) continue;
      Fixture with(x), without(x);
      without.x.input = false;
      with.run_backward(context);
      without.run_backward(context);
      expect_identical(without.v.floats(), with.v.floats(), x.rows * x.rank, x.text(simd) + " v");
      expect_identical(without.grad_a.floats(), with.grad_a.floats(), x.rank * x.in, x.text(simd) + " grad_a");
      expect_identical(without.grad_b.floats(), with.grad_b.floats(), x.out * x.rank, x.text(simd) + " grad_b");
    }
  }
}

TEST(Linear, SameBytesForEveryNumberOfThreads) {
  if (!kCpu) GTEST_SKIP() << "threads are the CPU's; schedules: CudaLinear.SameBytesForEverySchedule";
  for (int32_t simd : tiers()) {
    for (const Case& x :
         {Case{2, 300, 900, 8, LN_BF16, LN_F32}, Case{130, 520, 300, 16, LN_F32}, Case{300, 70, 200, 8, LN_BF16}}) {
      Context one(simd, 1);
      Fixture expected(x);
      expected.run_forward(one);
      expected.run_backward(one);
      for (int32_t threads : {2, 3}) {
        Context context(simd, threads);
        Fixture actual(x);
        actual.run_forward(context);
        actual.run_backward(context);
        const std::string what = x.text(simd) + " threads " + std::to_string(threads) + " ";
        expect_identical(actual.u.floats(), expected.u.floats(), x.rows * x.rank, what + "u");
        expect_identical(actual.y.floats(), expected.y.floats(), x.rows * x.out, what + "y");
        expect_identical(actual.v.floats(), expected.v.floats(), x.rows * x.rank, what + "v");
        expect_identical(actual.dx.floats(), expected.dx.floats(), x.rows * x.in, what + "dx");
        expect_identical(actual.grad_a.floats(), expected.grad_a.floats(), x.rank * x.in, what + "grad_a");
        expect_identical(actual.grad_b.floats(), expected.grad_b.floats(), x.out * x.rank, what + "grad_b");
      }
    }
  }
}

TEST(Linear, WithoutRowsNothingIsReadOrWritten) {
  Context context;
  ln_linear_fwd_args forward{};
  forward.in = 3;
  forward.out = 4;
  forward.rank = 2;
  EXPECT_EQ(LN_OK, ln_linear_fwd(context, &forward)) << context.error();
  ln_linear_bwd_args backward{};
  backward.in = 3;
  backward.out = 4;
  backward.rank = 2;
  EXPECT_EQ(LN_OK, ln_linear_bwd(context, &backward)) << context.error();
}

TEST(Linear, ForwardRefusesBadArguments) {
  Context context;
  Fixture fixture({.rows = 4, .in = 5, .out = 6, .rank = 2, .bias_dtype = LN_F32});
  const auto refuses = [&](const std::string& text, auto change) {
    ln_linear_fwd_args args = fixture.forward();
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_linear_fwd(context, &args));
    EXPECT_EQ("ln_linear_fwd: " + text, context.error());
  };
  refuses("rows is -1, must be at least 0", [](auto& args) { args.rows = -1; });
  refuses("in is 0, must be at least 1", [](auto& args) { args.in = 0; });
  refuses("out is 0, must be at least 1", [](auto& args) { args.out = 0; });
  refuses("rank is -1, must be at least 0", [](auto& args) { args.rank = -1; });
  refuses("weight_dtype is 7, not an ln_dtype", [](auto& args) { args.weight_dtype = 7; });
  refuses("bias_dtype is 7, not an ln_dtype", [](auto& args) { args.bias_dtype = 7; });
  refuses("x is NULL", [](auto& args) { args.x = nullptr; });
  refuses("weight is NULL", [](auto& args) { args.weight = nullptr; });
  refuses("lora_a is NULL", [](auto& args) { args.lora_a = nullptr; });
  refuses("lora_b is NULL", [](auto& args) { args.lora_b = nullptr; });
  refuses("u is NULL", [](auto& args) { args.u = nullptr; });
  refuses("y is NULL", [](auto& args) { args.y = nullptr; });
  refuses("weight is not aligned to 4 bytes",
          [](auto& args) { args.weight = static_cast<const char*>(args.weight) + 2; });
  refuses("lora_x is not aligned to 4 bytes",
          [](auto& args) { args.lora_x = reinterpret_cast<const float*>(reinterpret_cast<const char*>(args.x) + 1); });
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_linear_fwd(context, nullptr));
  EXPECT_EQ("ln_linear_fwd: args is NULL", context.error());
}

TEST(Linear, BackwardRefusesBadArguments) {
  Context context;
  Fixture fixture({.rows = 4, .in = 5, .out = 6, .rank = 2, .dropout = true});
  const auto refuses = [&](const std::string& text, auto change) {
    ln_linear_bwd_args args = fixture.backward();
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_linear_bwd(context, &args));
    EXPECT_EQ("ln_linear_bwd: " + text, context.error());
  };
  refuses("rows is -1, must be at least 0", [](auto& args) { args.rows = -1; });
  refuses("in is -5, must be at least 1", [](auto& args) { args.in = -5; });
  refuses("out is 0, must be at least 1", [](auto& args) { args.out = 0; });
  refuses("rank is -1, must be at least 0", [](auto& args) { args.rank = -1; });
  refuses("weight_dtype is 7, not an ln_dtype", [](auto& args) { args.weight_dtype = 7; });
  refuses("accumulate is 2, must be 0 or 1", [](auto& args) { args.accumulate = 2; });
  refuses("dy is NULL", [](auto& args) { args.dy = nullptr; });
  refuses("weight is NULL", [](auto& args) { args.weight = nullptr; });
  refuses("lora_a is NULL", [](auto& args) { args.lora_a = nullptr; });
  refuses("lora_b is NULL", [](auto& args) { args.lora_b = nullptr; });
  refuses("u is NULL", [](auto& args) { args.u = nullptr; });
  refuses("v is NULL", [](auto& args) { args.v = nullptr; });
  refuses("x is NULL", [](auto& args) { args.x = args.lora_x = nullptr; });
  refuses("dlora_x is given, dx is NULL", [](auto& args) { args.dx = nullptr; });
  refuses("grad_a and grad_b must both be given or both be NULL", [](auto& args) { args.grad_a = nullptr; });
  refuses("grad_a and grad_b must both be given or both be NULL", [](auto& args) { args.grad_b = nullptr; });
  refuses("dx is not aligned to 4 bytes",
          [](auto& args) { args.dx = reinterpret_cast<float*>(reinterpret_cast<char*>(args.dx) + 2); });
}

TEST(Linear, RefusesScratchThatIsTooSmall) {
  if (!kCpu) GTEST_SKIP() << "a small layer needs no scratch there; CudaLinear has one that does";
  Context context;
  Fixture fixture({.rows = 40, .in = 5, .out = 6, .rank = 2});
  const ln_linear_fwd_args forward = fixture.forward();
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_linear_fwd(context, &forward));
  const ln_linear_bwd_args backward = fixture.backward();
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_linear_bwd(context, &backward));
}

}  // namespace
}  // namespace ln::test
