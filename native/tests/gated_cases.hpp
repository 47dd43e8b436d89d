// Cases of ln_grouped_gated_*, and the same by the ops that it puts together: a grouped layer for each side, the gated
// activation between them and the next.
#pragma once

#include <algorithm>

#include "grouped_cases.hpp"

namespace ln::test::gated {

struct Case {
  grouped::Case gate;             // also the rows, sizes and types of both sides
  std::vector<int32_t> up_ranks;  // per expert, repeated as needed
  int64_t up_max_rank;
  int32_t activation = LN_SILU;

  grouped::Case up() const {
    grouped::Case side = gate;
    side.ranks = up_ranks;
    side.max_rank = up_max_rank;
    return side;
  }
  std::string text(int32_t simd) const {
    return gate.text(simd) + " up_max_rank " + std::to_string(up_max_rank) + " activation " +
           std::to_string(activation);
  }
};

using Floats = std::vector<float>;

inline Floats copied(const float* from, int64_t count) { return {from, from + count}; }

/// One side's gradients, expert by expert.
inline Floats gradients_of(const grouped::Fixture& side) {
  Floats all;
  for (int64_t e = 0; e < side.experts; ++e) {
    const size_t i = static_cast<size_t>(e);
    const Floats a = copied(side.grad_a[i].floats(), side.grad_a[i].rows() * side.x.in);
    const Floats b = copied(side.grad_b[i].floats(), side.grad_b[i].columns() * side.x.out);
    all.insert(all.end(), a.begin(), a.end());
    all.insert(all.end(), b.begin(), b.end());
  }
  return all;
}

struct Results {
  Floats gate, up, y, gate_u, up_u;                                   // forward
  Floats dgate, dup, dx, gate_v, up_v, gate_gradients, up_gradients;  // backward
};

/// The sides read the gate side's input; up.y and gate.y are the pre-activations and then their gradients, gate.dy is
/// that of y.
struct Fixture {
  Case c;
  grouped::Fixture gate, up;
  TestMatrix y;

  explicit Fixture(const Case& x) : c(x), gate(x.gate), up(x.up(), 29), y(gate.rows, x.gate.out, LN_F32, gate.random) {}

  int64_t elements() const { return gate.rows * c.gate.out; }

  ln_grouped_gated_fwd_args forward() {
    const ln_grouped_linear_fwd_args g = gate.forward(), u = up.forward();
    return {g.x,        g.offsets,  g.weights,      g.lora_a,    g.lora_b, g.ranks,  g.scales,
            g.u,        u.weights,  u.lora_a,       u.lora_b,    u.ranks,  u.scales, u.u,
            g.y,        u.y,        y.floats(),     g.rows,      g.in,     g.out,    g.experts,
            g.max_rank, u.max_rank, g.weight_dtype, c.activation};
  }

  ln_grouped_gated_bwd_args backward() {
    const ln_grouped_linear_bwd_args g = gate.backward(), u = up.backward();
    return {g.dy,     g.x,  g.offsets, g.weights, g.lora_a,   g.lora_b,        g.ranks,        g.scales,
            g.u,      g.v,  g.grad_a,  g.grad_b,  u.weights,  u.lora_a,        u.lora_b,       u.ranks,
            u.scales, u.u,  u.v,       u.grad_a,  u.grad_b,   gate.y.floats(), up.y.floats(),  g.dx,
            g.rows,   g.in, g.out,     g.experts, g.max_rank, u.max_rank,      g.weight_dtype, c.activation};
  }

  void clear() {
    for (int64_t i = 0; i < elements(); ++i) gate.y.floats()[i] = up.y.floats()[i] = y.floats()[i] = NAN;
    for (int64_t i = 0; i < gate.rows * c.gate.in; ++i) gate.dx.floats()[i] = NAN;
    for (grouped::Fixture* side : {&gate, &up}) {
      for (int64_t i = 0; i < side->rows * side->x.max_rank; ++i) side->u.floats()[i] = side->v.floats()[i] = NAN;
    }
  }

  void keep_forward(Results& results) const {
    results.gate = copied(gate.y.floats(), elements());
    results.up = copied(up.y.floats(), elements());
    results.y = copied(y.floats(), elements());
    results.gate_u = copied(gate.u.floats(), gate.rows * gate.x.max_rank);
    results.up_u = copied(up.u.floats(), up.rows * up.x.max_rank);
  }

  void keep_backward(Results& results) const {
    results.dgate = copied(gate.y.floats(), elements());
    results.dup = copied(up.y.floats(), elements());
    results.dx = copied(gate.dx.floats(), gate.rows * c.gate.in);
    results.gate_v = copied(gate.v.floats(), gate.rows * gate.x.max_rank);
    results.up_v = copied(up.v.floats(), up.rows * up.x.max_rank);
    results.gate_gradients = gradients_of(gate);
    results.up_gradients = gradients_of(up);
  }

  Results run(Context& context) {
    Results results;
    clear();
    const ln_grouped_gated_fwd_args first = forward();
    context.reserve(LN_OP_GROUPED_GATED_FWD, first);
    EXPECT_EQ(LN_OK, ln_grouped_gated_fwd(context, &first)) << context.error();
    keep_forward(results);
    const ln_grouped_gated_bwd_args second = backward();
    context.reserve(LN_OP_GROUPED_GATED_BWD, second);
    EXPECT_EQ(LN_OK, ln_grouped_gated_bwd(context, &second)) << context.error();
    keep_backward(results);
    return results;
  }

  Results run_apart(Context& context) {
    Results results;
    clear();
    ln_grouped_linear_fwd_args gate_forward = gate.forward(), up_forward = up.forward();
    up_forward.x = gate_forward.x;
    for (const ln_grouped_linear_fwd_args& side : {gate_forward, up_forward}) {
      context.reserve(LN_OP_GROUPED_LINEAR_FWD, side);
      EXPECT_EQ(LN_OK, ln_grouped_linear_fwd(context, &side)) << context.error();
    }
    float *const g = gate.y.floats(), *const u = up.y.floats();
    EXPECT_EQ(LN_OK, ln_gated_activation_fwd(context, c.activation, g, u, y.floats(), elements())) << context.error();
    keep_forward(results);
    EXPECT_EQ(LN_OK, ln_gated_activation_bwd(context, c.activation, gate.dy.floats(), g, u, g, u, elements()))
        << context.error();
    ln_grouped_linear_bwd_args gate_backward = gate.backward(), up_backward = up.backward();
    gate_backward.dy = g;
    up_backward.dy = u;
    up_backward.x = gate_backward.x;
    up_backward.dx = gate_backward.dx;
    up_backward.accumulate = 1;
    for (const ln_grouped_linear_bwd_args& side : {gate_backward, up_backward}) {
      context.reserve(LN_OP_GROUPED_LINEAR_BWD, side);
      EXPECT_EQ(LN_OK, ln_grouped_linear_bwd(context, &side)) << context.error();
    }
    keep_backward(results);
    return results;
  }
};

/// Sums of `k` products of numbers up to 1; those of gradients have factors of up to 2 besides.
inline void expect_same(const Floats& actual, const Floats& expected, int64_t k, const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  expect_close(actual, expected, static_cast<int64_t>(actual.size()), product_tolerance(k), what, product_scale(k));
}

/// That the op gives what its parts give.
inline void expect_parts(Context& context, const Case& x, const std::string& what) {
  Fixture together(x), apart(x);
  const Results actual = together.run(context), expected = apart.run_apart(context);
  const int64_t in = x.gate.in * (1 + x.gate.max_rank + x.up_max_rank), out = 2 * x.gate.out;
  expect_same(actual.gate_u, expected.gate_u, x.gate.in, what + " gate_u");
  expect_same(actual.up_u, expected.up_u, x.gate.in, what + " up_u");
  expect_same(actual.gate, expected.gate, in, what + " gate");
  expect_same(actual.up, expected.up, in, what + " up");
  expect_same(actual.y, expected.y, in, what + " y");
  expect_same(actual.dgate, expected.dgate, in, what + " dgate");
  expect_same(actual.dup, expected.dup, in, what + " dup");
  expect_same(actual.gate_v, expected.gate_v, out, what + " gate_v");
  expect_same(actual.up_v, expected.up_v, out, what + " up_v");
  expect_same(actual.gate_gradients, expected.gate_gradients, out * together.gate.rows, what + " gate's gradients");
  expect_same(actual.up_gradients, expected.up_gradients, out * together.gate.rows, what + " up's gradients");
  if (x.gate.input) {
    expect_same(actual.dx, expected.dx, out * (1 + x.gate.max_rank + x.up_max_rank), what + " dx");
  }

  // And y alone is the same y.
  ln_grouped_gated_fwd_args alone = together.forward();
  alone.gate = alone.up = nullptr;
  for (int64_t i = 0; i < together.elements(); ++i) alone.y[i] = NAN;
  context.reserve(LN_OP_GROUPED_GATED_FWD, alone);
  ASSERT_EQ(LN_OK, ln_grouped_gated_fwd(context, &alone)) << context.error();
  expect_identical(alone.y, actual.y.data(), together.elements(), what + " y alone");
}

/// That without dy, gate and up are taken as the gradients that they are.
inline void expect_gradients_taken(Context& context, const Case& x, const std::string& what) {
  Fixture whole(x), rest(x);
  const Results expected = whole.run(context);
  rest.clear();
  ln_grouped_gated_fwd_args forward = rest.forward();
  context.reserve(LN_OP_GROUPED_GATED_FWD, forward);
  ASSERT_EQ(LN_OK, ln_grouped_gated_fwd(context, &forward)) << context.error();
  ln_grouped_gated_bwd_args backward = rest.backward();
  backward.dy = nullptr;
  std::copy(expected.dgate.begin(), expected.dgate.end(), backward.gate);
  std::copy(expected.dup.begin(), expected.dup.end(), backward.up);
  context.reserve(LN_OP_GROUPED_GATED_BWD, backward);
  ASSERT_EQ(LN_OK, ln_grouped_gated_bwd(context, &backward)) << context.error();
  Results actual;
  rest.keep_backward(actual);
  const auto expect_identical = [&](const Floats& one, const Floats& other, const std::string& part) {
    test::expect_identical(one.data(), other.data(), static_cast<int64_t>(other.size()), what + part);
  };
  expect_identical(actual.dgate, expected.dgate, " dgate");
  expect_identical(actual.dup, expected.dup, " dup");
  if (x.gate.input) expect_identical(actual.dx, expected.dx, " dx");
  expect_identical(actual.gate_gradients, expected.gate_gradients, " gate's gradients");
  expect_identical(actual.up_gradients, expected.up_gradients, " up's gradients");
}

}  // namespace ln::test::gated
