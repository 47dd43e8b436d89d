// The grouped linear layer on the ways that only the CUDA library has. Products in bfloat16 are compared with those of
// rounded operands; u and v, which the op computes itself and uses again, are taken from its result.
#include "grouped_cases.hpp"
#include "product_cases.hpp"

namespace ln::test {
namespace {

using grouped::Case;
using grouped::Fixture;
using grouped::shifted;

/// Rows of expert e, as a bfloat16 product sees them.
auto seen(const Fixture& f, int64_t e, const TestMatrix& m) {
  const int64_t first = f.offsets[e];
  return [&m, first](int64_t i, int64_t j) { return rounded_to_bf16(m(first + i, j)); };
}
auto seen(const TestMatrix& m) {
  return [&m](int64_t i, int64_t j) { return rounded_to_bf16(m(i, j)); };
}
template <typename M>
auto turned(const M& m) {
  return [m](int64_t i, int64_t j) { return m(j, i); };
}

void check_forward(Context& context, const Case& x, const std::string& what) {
  Fixture f(x);
  f.run_forward(context);
  f.u.refresh();
  Oracle u(f.rows, x.max_rank), y(f.rows, x.out);
  for (int64_t e = 0; e < f.experts; ++e) {
    const size_t i = static_cast<size_t>(e);
    const int64_t count = x.rows[i], first = f.offsets[e];
    add_product(shifted(u, first), count, f.ranks[e], x.in, 1, seen(f, e, f.adapter_input()),
                turned(seen(f.lora_a[i])));
    add_product(shifted(y, first), count, x.out, x.in, 1, seen(f, e, f.input), turned(seen(f.weights[i])));
    add_product(shifted(y, first), count, x.out, f.ranks[e], f.scales[e], seen(f, e, f.u), turned(seen(f.lora_b[i])));
  }
  if (x.max_rank > 0) expect_product(f.u.floats(), u, x.in, what + " u");
  expect_product(f.y.floats(), y, x.in * (1 + x.max_rank), what + " y");
}

void check_backward(Context& context, const Case& x, const std::string& what) {
  Fixture f(x);
  Oracle v(f.rows, x.max_rank), dx(f.rows, x.in), dlora_x(f.rows, x.in);
  for (int64_t i = 0; i < f.rows && x.accumulate; ++i) {
    for (int64_t j = 0; j < x.in; ++j) dx(i, j) = f.dx(i, j);
  }
  f.run_backward(context);
  f.v.refresh();
  for (int64_t e = 0; e < f.experts; ++e) {
    const size_t i = static_cast<size_t>(e);
    const int64_t count = x.rows[i], first = f.offsets[e], rank = f.ranks[e];
    const auto dy = seen(f, e, f.dy), v_seen = seen(f, e, f.v);
    add_product(shifted(v, first), count, rank, x.out, f.scales[e], dy, seen(f.lora_b[i]));
    add_product(shifted(dx, first), count, x.in, x.out, 1, dy, seen(f.weights[i]));
    add_product(shifted(x.dropout ? dlora_x : dx, first), count, x.in, rank, 1, v_seen, seen(f.lora_a[i]));
    Oracle grad_a(rank, x.in), grad_b(x.out, rank);
    for (int64_t r = 0; r < rank; ++r) {
      for (int64_t j = 0; j < x.in; ++j) grad_a(r, j) = f.grad_a[i](r, j);
      for (int64_t j = 0; j < x.out; ++j) grad_b(j, r) = f.grad_b[i](j, r);
    }
    add_product(grad_b, x.out, rank, count, f.scales[e], turned(dy), seen(f, e, f.u));
    add_product(grad_a, rank, x.in, count, 1, turned(v_seen), seen(f, e, f.adapter_input()));
    expect_product(f.grad_b[i].floats(), grad_b, count + 1, what + " grad_b of expert " + std::to_string(e));
    expect_product(f.grad_a[i].floats(), grad_a, count * x.out + 1, what + " grad_a of expert " + std::to_string(e));
  }
  if (x.max_rank > 0) expect_product(f.v.floats(), v, x.out, what + " v");
  expect_product(f.dx.floats(), dx, x.out * (1 + x.max_rank), what + " dx");
  if (x.dropout) expect_product(f.dlora_x.floats(), dlora_x, x.out * (1 + x.max_rank), what + " dlora_x");
}

/// The rows of a tile follow from the mean of the rows per expert.
const std::vector<int64_t> kOf16 = {3, 0, 31, 1, 0, 16, 17, 0}, kOf32 = {33, 0, 1, 65, 3, 31};
const std::vector<int64_t> kOf64 = {65, 0, 63, 64, 3, 129}, kOf128 = {300, 0, 129, 640};
const std::vector<int32_t> kRanks = {3, 0, 16, 1, 8, 5, 0, 40};

std::vector<Case> small_cases() {
  return {{{1}, {8}, 64, 40, 8, LN_NF4},
          {{0, 1, 0}, {8}, 33, 17, 8, LN_FP4},
          {kOf16, {8}, 64, 136, 8, LN_NF4},
          {kOf16, kRanks, 37, 33, 40, LN_NF4, true, 1},
          {kOf16, kRanks, 136, 72, 40, LN_BF16},
          {kOf16, {}, 40, 129, 0, LN_FP4},
          {kOf32, kRanks, 72, 136, 40, LN_FP4, true},
          {kOf32, {16}, 63, 31, 16, LN_F16, false, 1},
          {kOf32, {4}, 64, 64, 16, LN_F32},
          {kOf64, {16, 8}, 72, 136, 16, LN_NF4},
          {kOf64, kRanks, 35, 43, 40, LN_NF4, true, 1},
          {kOf64, kRanks, 136, 40, 40, LN_F32}};
}

/// A copy in bfloat16, tiles of 128 rows.
std::vector<Case> large_cases() {
  return {{kOf128, {16, 8}, 72, 136, 16, LN_NF4},
          {kOf128, {3, 0, 5, 17}, 35, 41, 20, LN_FP4, true, 1},
          {{700, 0}, {16}, 136, 40, 16, LN_BF16},
          {{600}, {5}, 34, 21, 8, LN_BF16, true},
          {{0, 1024}, {8}, 40, 64, 8, LN_F16, false, 1}};
}

void check_all(const std::vector<Case>& cases) {
  int32_t number = 0;
  for (const Case& x : cases) {
    const int32_t schedule = number++ % 3;
    Context context(product_options(schedule, LN_PRECISION_BF16));
    check_forward(context, x, x.text(schedule));
    check_backward(context, x, x.text(schedule));
    if (testing::Test::HasFailure()) return;
  }
}

TEST(CudaGroupedLinear, TilesOfFewRowsInBfloat16) { check_all(small_cases()); }
TEST(CudaGroupedLinear, TilesOfManyRowsInBfloat16) { check_all(large_cases()); }

TEST(CudaGroupedLinear, SameBytesForEverySchedule) {
  for (const Case& x : {small_cases()[3], large_cases()[1]}) {
    Context first(product_options(0, LN_PRECISION_BF16)), second(product_options(2, LN_PRECISION_BF16));
    Fixture expected(x), actual(x);
    expected.run_forward(first);
    expected.run_backward(first);
    actual.run_forward(second);
    actual.run_backward(second);
    expect_identical(actual.u.floats(), expected.u.floats(), actual.rows * x.max_rank, "u");
    expect_identical(actual.y.floats(), expected.y.floats(), actual.rows * x.out, "y");
    expect_identical(actual.v.floats(), expected.v.floats(), actual.rows * x.max_rank, "v");
    expect_identical(actual.dx.floats(), expected.dx.floats(), actual.rows * x.in, "dx");
    expect_identical(actual.dlora_x.floats(), expected.dlora_x.floats(), actual.rows * x.in, "dlora_x");
    for (size_t e = 0; e < x.rows.size(); ++e) {
      expect_identical(actual.grad_a[e].floats(), expected.grad_a[e].floats(), actual.grad_a[e].rows() * x.in,
                       "grad_a");
      expect_identical(actual.grad_b[e].floats(), expected.grad_b[e].floats(), actual.grad_b[e].columns() * x.out,
                       "grad_b");
    }
  }
}

/// What the CPU library refuses: the experts concerned become NaN, the others are computed, nothing else is touched.
TEST(CudaGroupedLinear, WhatCannotBeRefusedIsNotANumber) {
  const auto run = [](auto change, int64_t first_wrong, int64_t last_wrong) {
    for (int32_t precision : {LN_PRECISION_F32, LN_PRECISION_BF16}) {
      Context context(product_options(0, precision));
      Fixture f({{4, 0, 3, 20}, {2}, 40, 24, 2, LN_NF4});
      change(f);
      f.run_forward(context);
      f.run_backward(context);
      for (int64_t row = 0; row < f.rows; ++row) {
        const bool wrong = row >= first_wrong && row < last_wrong;
        for (int64_t j = 0; j < f.x.out; ++j) ASSERT_EQ(wrong, std::isnan(f.y.floats()[row * f.x.out + j])) << row;
        for (int64_t j = 0; j < f.x.in; ++j) ASSERT_EQ(wrong, std::isnan(f.dx.floats()[row * f.x.in + j])) << row;
      }
    }
  };
  run([](Fixture&) {}, 0, 0);
  run([](Fixture& f) { f.weight_table[2] = nullptr; }, 4, 7);
  run([](Fixture& f) { f.weights[0].quantized()->elements = 961; }, 0, 4);
  run([](Fixture& f) { f.weights[3].quantized()->block = 48; }, 7, 27);
  run([](Fixture& f) { f.ranks[2] = 3; }, 4, 7);
  run([](Fixture& f) { f.ranks[0] = -1; }, 0, 4);
  run([](Fixture& f) { f.a_table[2] = nullptr; }, 4, 7);
  run([](Fixture& f) { f.b_table[2] = nullptr; }, 4, 7);
  // Rows that no expert has are left as they are: NaN, before the call.
  run([](Fixture& f) { f.offsets[4] = 25; }, 25, 27);
  run([](Fixture& f) { f.offsets[0] = 2; }, 0, 2);
  run([](Fixture& f) { f.offsets[4] = 1000; }, 0, 0);
  run([](Fixture& f) { f.offsets[0] = -1000; }, 0, 0);
}

}  // namespace
}  // namespace ln::test
