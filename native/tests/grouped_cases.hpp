// Cases of the grouped linear layer: their data and how they are run.
#pragma once

#include <deque>

#include "matrices.hpp"

namespace ln::test::grouped {

struct Case {
  std::vector<int64_t> rows;   // per expert
  std::vector<int32_t> ranks;  // per expert, repeated as needed
  int64_t in, out, max_rank;
  int32_t weight_dtype = LN_F32;
  bool dropout = false;
  int32_t accumulate = 0;
  bool frozen = false;
  bool input = true;

  std::string text(int32_t simd) const {
    std::string result = std::string(simd_name(simd)) + " rows";
    for (int64_t r : rows) result += " " + std::to_string(r);
    return result + " in " + std::to_string(in) + " out " + std::to_string(out) + " max_rank " +
           std::to_string(max_rank) + " weight " + dtype_name(weight_dtype) + (dropout ? " lora_x" : "") +
           (accumulate ? " accumulate" : "") + (frozen ? " frozen" : "") + (input ? "" : " no dx");
  }
};

inline int64_t total(const std::vector<int64_t>& counts) {
  int64_t result = 0;
  for (int64_t count : counts) result += count;
  return result;
}

/// Experts without rows have NULL weights and adapters: nothing of them may be read.
struct Fixture {
  Case x;
  int64_t experts, rows;
  Random random;
  TestMatrix input, lora_x, u, y, dy, v, dx, dlora_x;
  std::deque<TestMatrix> weights, lora_a, lora_b, grad_a, grad_b;
  Guarded<int32_t> offsets, ranks;
  Guarded<float> scales;
  Guarded<const void*> weight_table;
  Guarded<const float*> a_table, b_table;
  Guarded<float*> grad_a_table, grad_b_table;

  explicit Fixture(const Case& c, uint64_t seed = 23)
      : x(c),
        experts(static_cast<int64_t>(c.rows.size())),
        rows(total(c.rows)),
        random(seed),
        input(rows, c.in, LN_F32, random),
        lora_x(rows, c.in, LN_F32, random),
        u(rows, c.max_rank, LN_F32, random),
        y(rows, c.out, LN_F32, random),
        dy(rows, c.out, LN_F32, random),
        v(rows, c.max_rank, LN_F32, random),
        dx(rows, c.in, LN_F32, random),
        dlora_x(rows, c.in, LN_F32, random),
        offsets(experts + 1),
        ranks(experts),
        scales(experts),
        weight_table(experts),
        a_table(experts),
        b_table(experts),
        grad_a_table(experts),
        grad_b_table(experts) {
    offsets[0] = 0;
    for (int64_t e = 0; e < experts; ++e) {
      const int64_t count = c.rows[static_cast<size_t>(e)];
      offsets[e + 1] = offsets[e] + static_cast<int32_t>(count);
      ranks[e] = c.ranks.empty() ? 0 : c.ranks[static_cast<size_t>(e) % c.ranks.size()];
      scales[e] = 0.5f + 0.25f * static_cast<float>(e % 3);
      weights.emplace_back(c.out, c.in, c.weight_dtype, random);
      lora_a.emplace_back(ranks[e], c.in, LN_F32, random);
      lora_b.emplace_back(c.out, ranks[e], LN_F32, random);
      grad_a.emplace_back(ranks[e], c.in, LN_F32, random);
      grad_b.emplace_back(c.out, ranks[e], LN_F32, random);
      const bool adapter = count > 0 && ranks[e] > 0;
      weight_table[e] = count > 0 ? weights.back().data() : nullptr;
      a_table[e] = adapter ? lora_a.back().floats() : nullptr;
      b_table[e] = adapter ? lora_b.back().floats() : nullptr;
      grad_a_table[e] = adapter ? grad_a.back().floats() : nullptr;
      grad_b_table[e] = adapter ? grad_b.back().floats() : nullptr;
    }
  }

  const TestMatrix& adapter_input() const { return x.dropout ? lora_x : input; }

  template <typename Args>
  void fill(Args& args) {
    args.x = input.floats();
    args.lora_x = x.dropout ? lora_x.floats() : nullptr;
    args.offsets = offsets;
    args.weights = weight_table;
    args.u = u.floats();
    if (x.max_rank > 0) {
      args.lora_a = a_table;
      args.lora_b = b_table;
      args.ranks = ranks;
      args.scales = scales;
    }
    args.rows = rows;
    args.in = x.in;
    args.out = x.out;
    args.experts = experts;
    args.max_rank = x.max_rank;
    args.weight_dtype = x.weight_dtype;
  }

  ln_grouped_linear_fwd_args forward() {
    ln_grouped_linear_fwd_args args{};
    fill(args);
    args.y = y.floats();
    return args;
  }

  ln_grouped_linear_bwd_args backward() {
    ln_grouped_linear_bwd_args args{};
    fill(args);
    args.dy = dy.floats();
    args.v = v.floats();
    if (!x.frozen && x.max_rank > 0) {
      args.grad_a = grad_a_table;
      args.grad_b = grad_b_table;
    }
    args.dx = x.input ? dx.floats() : nullptr;
    args.dlora_x = x.input && x.dropout ? dlora_x.floats() : nullptr;
    args.accumulate = x.accumulate;
    return args;
  }

  void run_forward(Context& context) {
    for (int64_t i = 0; i < rows * x.out; ++i) y.floats()[i] = NAN;
    for (int64_t i = 0; i < rows * x.max_rank; ++i) u.floats()[i] = NAN;
    const ln_grouped_linear_fwd_args args = forward();
    context.reserve(LN_OP_GROUPED_LINEAR_FWD, args);
    ASSERT_EQ(LN_OK, ln_grouped_linear_fwd(context, &args)) << context.error();
  }

  void run_backward(Context& context) {
    for (int64_t i = 0; i < rows * x.max_rank; ++i) v.floats()[i] = NAN;
    for (int64_t i = 0; i < rows * x.in; ++i) {
      if (!x.accumulate) dx.floats()[i] = NAN;
      dlora_x.floats()[i] = NAN;
    }
    const ln_grouped_linear_bwd_args args = backward();
    context.reserve(LN_OP_GROUPED_LINEAR_BWD, args);
    ASSERT_EQ(LN_OK, ln_grouped_linear_bwd(context, &args)) << context.error();
  }

  /// m shifted to the rows of expert e.
  auto from(int64_t e, const TestMatrix& m) const {
    const int64_t first = offsets[e];
    return [&m, first](int64_t i, int64_t j) { return m(first + i, j); };
  }
};

template <typename M>
auto transposed(const M& m) {
  return [&m](int64_t i, int64_t j) { return m(j, i); };
}

/// Writes to the rows of `oracle` from `first` on.
inline auto shifted(Oracle& oracle, int64_t first) {
  return [&oracle, first](int64_t i, int64_t j) -> double& { return oracle(first + i, j); };
}

}  // namespace ln::test::grouped
