#include "grouped_cases.hpp"

namespace ln::test {
namespace {

using grouped::Case;
using grouped::Fixture;
using grouped::shifted;
using grouped::transposed;

void check_forward(Context& context, int32_t simd, const Case& x) {
  Fixture f(x);
  f.run_forward(context);
  Oracle u(f.rows, x.max_rank), y(f.rows, x.out);
  for (int64_t e = 0; e < f.experts; ++e) {
    const size_t i = static_cast<size_t>(e);
    const int64_t count = x.rows[i], first = f.offsets[e];
    add_product(shifted(u, first), count, f.ranks[e], x.in, 1, f.from(e, f.adapter_input()), transposed(f.lora_a[i]));
    add_product(shifted(y, first), count, x.out, x.in, 1, f.from(e, f.input), transposed(f.weights[i]));
    add_product(shifted(y, first), count, x.out, f.ranks[e], f.scales[e], shifted(u, first), transposed(f.lora_b[i]));
  }
  expect_product(f.y.floats(), y, x.in * (1 + x.max_rank), x.text(simd) + " y");
  if (x.max_rank == 0) return;
  expect_product(f.u.floats(), u, x.in, x.text(simd) + " u");
  for (int64_t e = 0; e < f.experts; ++e) {
    for (int64_t row = f.offsets[e]; row < f.offsets[e + 1]; ++row) {
      for (int64_t j = f.ranks[e]; j < x.max_rank; ++j) {
        ASSERT_EQ(0.0f, f.u.floats()[row * x.max_rank + j])
            << x.text(simd) << ": unused column " << j << " of u's row " << row;
      }
    }
  }
}

void check_backward(Context& context, int32_t simd, const Case& x) {
  Fixture f(x);
  Oracle v(f.rows, x.max_rank), dx(f.rows, x.in), dlora_x(f.rows, x.in);
  for (int64_t i = 0; i < f.rows && x.accumulate; ++i) {
    for (int64_t j = 0; j < x.in; ++j) dx(i, j) = f.dx(i, j);
  }
  f.run_backward(context);
  for (int64_t e = 0; e < f.experts; ++e) {
    const size_t i = static_cast<size_t>(e);
    const int64_t count = x.rows[i], first = f.offsets[e], rank = f.ranks[e];
    const auto dy = f.from(e, f.dy), input = f.from(e, f.adapter_input()), u = f.from(e, f.u);
    const auto v_here = shifted(v, first);
    add_product(v_here, count, rank, x.out, f.scales[e], dy, f.lora_b[i]);
    add_product(shifted(dx, first), count, x.in, x.out, 1, dy, f.weights[i]);
    add_product(shifted(x.dropout ? dlora_x : dx, first), count, x.in, rank, 1, v_here, f.lora_a[i]);

    Oracle grad_a(rank, x.in), grad_b(x.out, rank);
    for (int64_t r = 0; r < rank; ++r) {
      for (int64_t j = 0; j < x.in; ++j) grad_a(r, j) = f.grad_a[i](r, j);
      for (int64_t j = 0; j < x.out; ++j) grad_b(j, r) = f.grad_b[i](j, r);
    }
    if (!x.frozen && count > 0) {
      add_product(grad_b, x.out, rank, count, f.scales[e], transposed(dy), u);
      add_product(grad_a, rank, x.in, count, 1, transposed(v_here), input);
    }
    const std::string what = x.text(simd) + " expert " + std::to_string(e);
    expect_product(f.grad_b[i].floats(), grad_b, count + 1, what + " grad_b");
    expect_product(f.grad_a[i].floats(), grad_a, count * x.out + 1, what + " grad_a");
  }
  if (x.max_rank > 0) expect_product(f.v.floats(), v, x.out, x.text(simd) + " v");
  if (!x.input) return;
  expect_product(f.dx.floats(), dx, x.out * (1 + x.max_rank), x.text(simd) + " dx");
  if (x.dropout) expect_product(f.dlora_x.floats(), dlora_x, x.out * (1 + x.max_rank), x.text(simd) + " dlora_x");
}

std::vector<Case> cases() {
  const std::vector<int64_t> uneven = {3, 0, 40, 1, 0, 17, 8, 9};
  const std::vector<int64_t> many = kCpu ? std::vector<int64_t>{600, 2, 530} : std::vector<int64_t>{130, 2, 70};
  return {
      {uneven, {8}, 33, 48, 8},
      {uneven, {3, 0, 16, 1, 8, 5, 0, 2}, 64, 31, 16, LN_BF16},
      {uneven, {3, 0, 16, 1, 8, 5, 0, 2}, 17, 100, 20, LN_F16, true, 1},
      {uneven, {}, 40, 24, 0, LN_BF16},
      {uneven, {0}, 40, 24, 4},
      {uneven, {64, 5}, 24, 257, 64, LN_F32, false, 0, true},
      {uneven, {4}, 24, 40, 4, LN_F32, true, 0, false, false},
      {uneven, {4}, 24, 40, 4, LN_F32, true, 0, true},
      {uneven, {0, 8}, 33, 48, 8, LN_F32, true},  // dlora_x of the first expert is zeros
      {uneven, {0}, 40, 24, 4, LN_F32, true},
      {{0, 0, 70, 0}, {8}, 31, 63, 8, LN_BF16},
      {{70}, {16}, 300, 40, 16},
      {{1, 1, 1, 1, 1, 1}, {2, 0}, 15, 5, 2, LN_F16, false, 1},
      {many, {8, 1, 0}, 520, 40, 8},
      {std::vector<int64_t>(300, 10), {2, 1}, 9, 16, 2, LN_BF16},
      {uneven, {8}, 33, 48, 8, LN_NF4},
      {uneven, {3, 0, 16, 1, 8, 5, 0, 2}, 256, 192, 16, LN_NF4, true, 1},
      {uneven, {}, 72, 136, 0, LN_FP4},
      {many, {8, 1, 0}, 520, 40, 8, LN_NF4},
  };
}

TEST(GroupedLinear, ForwardEqualsItsFormulaOnEveryTier) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (const Case& x : cases()) {
      check_forward(context, simd, x);
      if (HasFailure()) return;
    }
  }
}

TEST(GroupedLinear, BackwardEqualsItsFormulaOnEveryTier) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (const Case& x : cases()) {
      check_backward(context, simd, x);
      if (HasFailure()) return;
    }
  }
}

TEST(GroupedLinear, SameBytesForEveryNumberOfThreads) {
  const Case x = {{30, 0, 2, 200, 9, 65}, {8, 3, 0, 16}, 300, 120, 16, LN_BF16};
  for (int32_t simd : tiers()) {
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
      expect_identical(actual.u.floats(), expected.u.floats(), actual.rows * x.max_rank, what + "u");
      expect_identical(actual.y.floats(), expected.y.floats(), actual.rows * x.out, what + "y");
      expect_identical(actual.v.floats(), expected.v.floats(), actual.rows * x.max_rank, what + "v");
      expect_identical(actual.dx.floats(), expected.dx.floats(), actual.rows * x.in, what + "dx");
      for (size_t e = 0; e < x.rows.size(); ++e) {
        expect_identical(actual.grad_a[e].floats(), expected.grad_a[e].floats(), actual.grad_a[e].rows() * x.in,
                         what + "grad_a");
        expect_identical(actual.grad_b[e].floats(), expected.grad_b[e].floats(), actual.grad_b[e].columns() * x.out,
                         what + "grad_b");
      }
    }
  }
}

TEST(GroupedLinear, WithoutRowsNothingIsReadOrWritten) {
  Context context;
  ln_grouped_linear_fwd_args forward{};
  forward.in = forward.out = forward.experts = 3;
  EXPECT_EQ(LN_OK, ln_grouped_linear_fwd(context, &forward)) << context.error();
  ln_grouped_linear_bwd_args backward{};
  backward.in = backward.out = backward.experts = 3;
  EXPECT_EQ(LN_OK, ln_grouped_linear_bwd(context, &backward)) << context.error();
}

/// Each refusal also leaves y as it was.
TEST(GroupedLinear, ForwardRefusesBadArguments) {
  Context context;
  const auto refuses = [&](const std::string& text, auto change) {
    Fixture fixture({{4, 0, 3}, {2}, 5, 6, 2});
    ln_grouped_linear_fwd_args args = fixture.forward();
    context.reserve(LN_OP_GROUPED_LINEAR_FWD, args);
    change(args, fixture);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_grouped_linear_fwd(context, &args));
    EXPECT_EQ("ln_grouped_linear_fwd: " + text, context.error());
    for (int64_t i = 0; i < fixture.rows * 6; ++i) ASSERT_EQ(fixture.y(i / 6, i % 6), fixture.y.floats()[i]) << text;
  };
  refuses("rows is -1, must be at least 0", [](auto& args, auto&) { args.rows = -1; });
  refuses("rows is 4294967296, must be at most 2147483647", [](auto& args, auto&) { args.rows = int64_t{1} << 32; });
  refuses("in is 0, must be at least 1", [](auto& args, auto&) { args.in = 0; });
  refuses("out is 0, must be at least 1", [](auto& args, auto&) { args.out = 0; });
  refuses("experts is 0, must be at least 1", [](auto& args, auto&) { args.experts = 0; });
  refuses("max_rank is -1, must be at least 0", [](auto& args, auto&) { args.max_rank = -1; });
  refuses("weight_dtype is 5, not an ln_dtype", [](auto& args, auto&) { args.weight_dtype = 5; });
  refuses("x is NULL", [](auto& args, auto&) { args.x = nullptr; });
  refuses("offsets is NULL", [](auto& args, auto&) { args.offsets = nullptr; });
  refuses("weights is NULL", [](auto& args, auto&) { args.weights = nullptr; });
  refuses("lora_a is NULL", [](auto& args, auto&) { args.lora_a = nullptr; });
  refuses("lora_b is NULL", [](auto& args, auto&) { args.lora_b = nullptr; });
  refuses("ranks is NULL", [](auto& args, auto&) { args.ranks = nullptr; });
  refuses("scales is NULL", [](auto& args, auto&) { args.scales = nullptr; });
  refuses("u is NULL", [](auto& args, auto&) { args.u = nullptr; });
  refuses("y is NULL", [](auto& args, auto&) { args.y = nullptr; });
  if (!kCpu) return;  // what tables hold lies in device memory, of which the host reads nothing
  refuses("offsets[0] is 1, must be 0", [](auto&, auto& fixture) { fixture.offsets[0] = 1; });
  refuses("expert 1: offsets[2] is 3, less than offsets[1], 4", [](auto&, auto& fixture) { fixture.offsets[2] = 3; });
  refuses("offsets[3] is 8, must be rows, 7", [](auto&, auto& fixture) { fixture.offsets[3] = 8; });
  refuses("weights[2] is NULL", [](auto&, auto& fixture) { fixture.weight_table[2] = nullptr; });
  refuses("weights[0] is not aligned to 4 bytes", [](auto&, auto& fixture) {
    fixture.weight_table[0] = static_cast<const char*>(fixture.weight_table[0]) + 2;
  });
  refuses("ranks[2] is 3, must be between 0 and max_rank, 2", [](auto&, auto& fixture) { fixture.ranks[2] = 3; });
  refuses("ranks[0] is -1, must be between 0 and max_rank, 2", [](auto&, auto& fixture) { fixture.ranks[0] = -1; });
  refuses("lora_a[2] is NULL", [](auto&, auto& fixture) { fixture.a_table[2] = nullptr; });
  refuses("lora_b[0] is NULL", [](auto&, auto& fixture) { fixture.b_table[0] = nullptr; });
}

TEST(GroupedLinear, BackwardRefusesBadArguments) {
  Context context;
  const auto refuses = [&](const std::string& text, auto change) {
    Fixture fixture({{4, 0, 3}, {2}, 5, 6, 2, LN_F32, true});
    ln_grouped_linear_bwd_args args = fixture.backward();
    context.reserve(LN_OP_GROUPED_LINEAR_BWD, args);
    change(args, fixture);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_grouped_linear_bwd(context, &args));
    EXPECT_EQ("ln_grouped_linear_bwd: " + text, context.error());
    for (int64_t i = 0; i < fixture.rows * 5; ++i) ASSERT_EQ(fixture.dx(i / 5, i % 5), fixture.dx.floats()[i]) << text;
  };
  refuses("dy is NULL", [](auto& args, auto&) { args.dy = nullptr; });
  refuses("v is NULL", [](auto& args, auto&) { args.v = nullptr; });
  refuses("u is NULL", [](auto& args, auto&) { args.u = nullptr; });
  refuses("x is NULL", [](auto& args, auto&) { args.x = args.lora_x = nullptr; });
  refuses("weights is NULL", [](auto& args, auto&) { args.weights = nullptr; });
  refuses("accumulate is 3, must be 0 or 1", [](auto& args, auto&) { args.accumulate = 3; });
  refuses("dlora_x is given, dx is NULL", [](auto& args, auto&) { args.dx = nullptr; });
  refuses("grad_a and grad_b must both be given or both be NULL", [](auto& args, auto&) { args.grad_a = nullptr; });
  if (!kCpu) return;  // what tables hold lies in device memory, of which the host reads nothing
  refuses("grad_a[2] is NULL", [](auto&, auto& fixture) { fixture.grad_a_table[2] = nullptr; });
  refuses("grad_b[0] is NULL", [](auto&, auto& fixture) { fixture.grad_b_table[0] = nullptr; });
  refuses("expert 0: offsets[1] is -1, less than offsets[0], 0", [](auto&, auto& fixture) { fixture.offsets[1] = -1; });
}

}  // namespace
}  // namespace ln::test
