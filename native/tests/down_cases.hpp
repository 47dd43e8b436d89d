// Cases of ln_grouped_down_bwd, and the same by the ops that it puts together: the experts' outputs, the backward pass
// of their combination, of the grouped layer and of the gated activation.
#pragma once

#include <algorithm>

#include "gated_cases.hpp"

namespace ln::test::down {

using gated::copied;
using gated::Floats;

struct Case {
  grouped::Case layer;  // as many rows as tokens * top_k
  int64_t top_k;
  int32_t activation = LN_SILU;
  bool powers = false;  // scores that change no rounding

  std::string text(int32_t simd) const {
    return layer.text(simd) + " top_k " + std::to_string(top_k) + " activation " + std::to_string(activation);
  }
};

struct Results {
  Floats dscores, dgate, dup, gradients;
  Floats v, inner, u;  // without scores, with them where adapters train
};

/// dy, which tokens have, in the place of the layer's.
struct Fixture {
  Case c;
  grouped::Fixture layer;
  int64_t rows, tokens;
  TestMatrix dy, gate, up, scores, dscores, inner;
  Guarded<int32_t> rows_of_pairs;

  explicit Fixture(const Case& x)
      : c(x),
        layer(x.layer),
        rows(layer.rows),
        tokens(layer.rows / x.top_k),
        dy(tokens, x.layer.out, LN_F32, layer.random),
        gate(rows, x.layer.in, LN_F32, layer.random),
        up(rows, x.layer.in, LN_F32, layer.random),
        scores(tokens, x.top_k, LN_F32, layer.random),
        dscores(tokens, x.top_k, LN_F32, layer.random),
        inner(rows, x.layer.in, LN_F32, layer.random),
        rows_of_pairs(rows) {
    EXPECT_EQ(rows, tokens * x.top_k) << "a case with a token that has too few rows";
    for (int64_t pair = 0; pair < rows; ++pair) {
      rows_of_pairs[pair] = static_cast<int32_t>(pair);
      std::swap(rows_of_pairs[pair], rows_of_pairs[layer.random.below(pair + 1)]);
      if (x.powers) scores.floats()[pair] = std::ldexp(1.0f, -static_cast<int>(pair % 4));
    }
    scores.refresh();
  }

  bool trains() const { return c.layer.max_rank > 0 && !c.layer.frozen; }
  int64_t elements() const { return rows * c.layer.in; }

  ln_grouped_down_bwd_args args() {
    const ln_grouped_linear_bwd_args side = layer.backward();
    return {dy.floats(),
            rows_of_pairs,
            scores.floats(),
            dscores.floats(),
            side.offsets,
            side.weights,
            side.lora_a,
            side.lora_b,
            side.ranks,
            side.scales,
            layer.u.floats(),
            side.v,
            side.grad_a,
            side.grad_b,
            gate.floats(),
            up.floats(),
            trains() ? inner.floats() : nullptr,
            tokens,
            c.top_k,
            side.in,
            side.out,
            side.experts,
            side.max_rank,
            side.weight_dtype,
            c.activation};
  }

  Results keep() const {
    return {copied(dscores.floats(), rows),
            copied(gate.floats(), elements()),
            copied(up.floats(), elements()),
            gated::gradients_of(layer),
            copied(layer.v.floats(), rows * c.layer.max_rank),
            trains() ? copied(inner.floats(), elements()) : Floats(),
            copied(layer.u.floats(), rows * c.layer.max_rank)};
  }

  Results run(Context& context) {
    for (int64_t i = 0; i < rows; ++i) dscores.floats()[i] = NAN;
    for (int64_t i = 0; i < rows * c.layer.max_rank; ++i) layer.v.floats()[i] = NAN;
    for (int64_t i = 0; i < elements(); ++i) inner.floats()[i] = NAN;
    const ln_grouped_down_bwd_args a = args();
    context.reserve(LN_OP_GROUPED_DOWN_BWD, a);
    EXPECT_EQ(LN_OK, ln_grouped_down_bwd(context, &a)) << context.error();
    return keep();
  }

  double score_of_row(int64_t row) const {
    const int32_t* const pair = std::find(rows_of_pairs.data(), rows_of_pairs.data() + rows, row);
    return static_cast<double>(scores.floats()[pair - rows_of_pairs.data()]);
  }

  /// As experts' outputs and their combination give it; dscores of the combination.
  Results run_apart(Context& context) {
    float *const g = gate.floats(), *const raised = up.floats(), *const y = inner.floats();
    EXPECT_EQ(LN_OK, ln_gated_activation_fwd(context, c.activation, g, raised, y, elements())) << context.error();
    ln_grouped_linear_fwd_args forward = layer.forward();
    TestMatrix low = layer.u;
    forward.x = y;
    forward.u = low.floats();
    context.reserve(LN_OP_GROUPED_LINEAR_FWD, forward);
    EXPECT_EQ(LN_OK, ln_grouped_linear_fwd(context, &forward)) << context.error();
    float* const outputs = layer.y.floats();
    EXPECT_EQ(LN_OK, ln_moe_combine_bwd(context, dy.floats(), outputs, rows_of_pairs, scores.floats(), outputs,
                                        dscores.floats(), tokens, c.top_k, c.layer.out))
        << context.error();
    ln_grouped_linear_bwd_args backward = layer.backward();
    backward.dy = outputs;
    backward.x = y;
    backward.u = layer.u.floats();
    backward.dx = layer.dx.floats();
    context.reserve(LN_OP_GROUPED_LINEAR_BWD, backward);
    EXPECT_EQ(LN_OK, ln_grouped_linear_bwd(context, &backward)) << context.error();
    EXPECT_EQ(LN_OK, ln_gated_activation_bwd(context, c.activation, backward.dx, g, raised, g, raised, elements()))
        << context.error();
    return keep();
  }

  /// After run_apart, dscores from the gradient of inner that its products gave, for scores that are not 0.
  Floats scores_of_products() const {
    Floats result(static_cast<size_t>(rows));
    for (int64_t pair = 0; pair < rows; ++pair) {
      const int64_t first = rows_of_pairs[pair] * c.layer.in;
      double dot = 0;
      for (int64_t i = first; i < first + c.layer.in; ++i) {
        dot += static_cast<double>(layer.dx.floats()[i]) * static_cast<double>(inner.floats()[i]);
      }
      result[static_cast<size_t>(pair)] = static_cast<float>(dot / static_cast<double>(scores.floats()[pair]));
    }
    return result;
  }

  /// Every row times its score.
  Floats scored(const Floats& values, int64_t width) const {
    Floats result = values;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = row * width; i < (row + 1) * width; ++i) {
        result[static_cast<size_t>(i)] *= static_cast<float>(score_of_row(row));
      }
    }
    return result;
  }
};

/// That the op gives what its parts give. In bfloat16 experts' outputs are made of rounded numbers, which the gradient
/// of a score through them shows: `rounding`, relative, or 0; `powers` must be set there.
inline void expect_parts(Context& context, const Case& x, const std::string& what, double rounding = 0) {
  Fixture together(x), apart(x);
  const Results actual = together.run(context), expected = apart.run_apart(context);
  const int64_t out = x.layer.out * (1 + x.layer.max_rank), rank = x.layer.max_rank;
  if (rounding == 0) gated::expect_same(actual.dscores, expected.dscores, out * x.layer.in, what + " dscores");
  if (x.powers) gated::expect_same(actual.dscores, apart.scores_of_products(), out * x.layer.in, what + " dscores");
  if (rounding != 0) {
    expect_close(actual.dscores, expected.dscores, together.rows, rounding, what + " rounded dscores",
                 product_scale(out * x.layer.in));
  }
  gated::expect_same(actual.dgate, expected.dgate, out, what + " dgate");
  gated::expect_same(actual.dup, expected.dup, out, what + " dup");
  gated::expect_same(together.scored(actual.v, rank), expected.v, out, what + " v");
  gated::expect_same(actual.gradients, expected.gradients, out * together.rows, what + " gradients");
  if (!together.trains()) return;
  gated::expect_same(actual.inner, together.scored(expected.inner, x.layer.in), 1, what + " inner");
  gated::expect_same(actual.u, together.scored(expected.u, rank), 1, what + " u");
}

}  // namespace ln::test::down
