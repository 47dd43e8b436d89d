#include "router.hpp"

#include <algorithm>

#include "cpu_backend.hpp"

namespace ln::backend {

namespace {

// Experts per task of the probability sums: their probabilities of one token fill one cache line.
constexpr int64_t kColumns = 16;

/// probability_sums[e] for `columns` experts from `first`; tokens are added in rising order whatever the split.
void add_probabilities(const ln_router_fwd_args& args, int64_t first, int64_t columns) {
  double sums[kColumns] = {};
  const float* p = args.probabilities + first;
  if (columns == kColumns) {
    for (int64_t t = 0; t < args.tokens; ++t, p += args.experts) {
      for (int64_t c = 0; c < kColumns; ++c) sums[c] += static_cast<double>(p[c]);
    }
  } else {
    for (int64_t t = 0; t < args.tokens; ++t, p += args.experts) {
      for (int64_t c = 0; c < columns; ++c) sums[c] += static_cast<double>(p[c]);
    }
  }
  for (int64_t c = 0; c < columns; ++c) args.probability_sums[first + c] += sums[c];
}

void add_counts(const ln_router_fwd_args& args) {
  for (int64_t pair = 0; pair < args.tokens * args.top_k; ++pair) ++args.counts[args.ids[pair]];
}

// One number per token: in the order of the tokens, on one thread.
void add_squares(const ln_router_fwd_args& args) {
  double total = 0;
  for (int64_t t = 0; t < args.tokens; ++t) {
    total += static_cast<double>(args.log_sum_exp[t]) * static_cast<double>(args.log_sum_exp[t]);
  }
  *args.square_sum += total;
}

}  // namespace

void router_fwd(ln_context& context, const ln_router_fwd_args& args) {
  const cpu::RouterKernels& kernels = cpu::router_kernels(cpu::tier(context));
  cpu::pool(context).ranges(args.tokens, cpu::rows_per_task(args.experts * 4), [&](int64_t first, int64_t last, int) {
    kernels.forward(args.logits + first * args.experts, args.probabilities + first * args.experts,
                    args.ids + first * args.top_k, args.weights + first * args.top_k,
                    args.log_sum_exp == nullptr ? nullptr : args.log_sum_exp + first, last - first, args.experts,
                    args.top_k, args.renormalise == 1);
  });
  if (args.square_sum != nullptr) add_squares(args);
  if (args.counts == nullptr) return;
  const int64_t column_tasks = (args.experts + kColumns - 1) / kColumns;
  cpu::pool(context).run(1 + column_tasks, [&](int64_t task, int) {
    const int64_t first = (task - 1) * kColumns;
    if (task == 0) {
      add_counts(args);
    } else {
      add_probabilities(args, first, std::min(kColumns, args.experts - first));
    }
  });
}

void router_bwd(ln_context& context, const ln_router_bwd_args& args) {
  const cpu::RouterKernels& kernels = cpu::router_kernels(cpu::tier(context));
  cpu::pool(context).ranges(args.tokens, cpu::rows_per_task(args.experts * 2), [&](int64_t first, int64_t last, int) {
    kernels.backward(args.probabilities + first * args.experts, args.ids + first * args.top_k,
                     args.weights + first * args.top_k, args.dweights + first * args.top_k, args.dprobabilities,
                     args.log_sum_exp == nullptr ? nullptr : args.log_sum_exp + first, args.z_scale,
                     args.dlogits + first * args.experts, last - first, args.experts, args.top_k,
                     args.renormalise == 1);
  });
}

void load_balancing_loss(ln_context&, const int64_t* counts, const double* probability_sums, int64_t experts,
                         int64_t router_rows, float coefficient, double* loss, float* dprobabilities) {
  const double rows = static_cast<double>(router_rows);
  double total = 0;
  for (int64_t e = 0; e < experts; ++e) {
    const double share = static_cast<double>(counts[e]) / rows;
    total += share * (probability_sums[e] / rows);
    if (dprobabilities == nullptr) continue;
    dprobabilities[e] =
        static_cast<float>(static_cast<double>(coefficient) * static_cast<double>(experts) * share / rows);
  }
  *loss = static_cast<double>(experts) * total;
}

}  // namespace ln::backend
