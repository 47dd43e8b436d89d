#include "moe.hpp"

#include <algorithm>
#include <cstring>

#include "cpu_backend.hpp"
#include "index_check.hpp"
#include "scratch.hpp"

namespace ln::cpu {

// The CPU's plan counts in the offsets themselves.
int64_t moe_scratch_bytes(const ln_context&, int32_t, const void*) { return 0; }

}  // namespace ln::cpu

namespace ln::backend {

// Three passes over one integer per pair, small against the experts' matrix products; so on one thread.
void moe_plan(ln_context&, const ln_moe_plan_args& args, const Checker& check) {
  const int64_t pairs = args.tokens * args.top_k;
  cpu::require_indices_below(check, "ids", args.ids, pairs, args.experts);
  int32_t* offsets = args.offsets;
  std::fill(offsets, offsets + args.experts + 1, 0);
  for (int64_t pair = 0; pair < pairs; ++pair) ++offsets[args.ids[pair] + 1];
  for (int64_t e = 0; e < args.experts; ++e) offsets[e + 1] += offsets[e];
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const int32_t row = offsets[args.ids[pair]]++;
    args.rows_of_pairs[pair] = row;
    args.tokens_of_rows[row] = static_cast<int32_t>(pair / args.top_k);
  }
  // Every entry has moved to the next expert's first row.
  for (int64_t e = args.experts; e > 0; --e) offsets[e] = offsets[e - 1];
  offsets[0] = 0;
}

void gather_rows(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t source_rows,
                 int64_t width, const Checker& check) {
  cpu::require_indices_below(check, "index", index, rows, source_rows);
  cpu::pool(context).ranges(rows, cpu::rows_per_task(width), [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; ++r) {
      std::memcpy(y + r * width, x + index[r] * width, static_cast<size_t>(width) * sizeof(float));
    }
  });
}

void scatter_rows(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows,
                  int64_t target_rows, int64_t width, const Checker& check) {
  cpu::require_indices_below(check, "index", index, rows, target_rows);
  cpu::pool(context).ranges(rows, cpu::rows_per_task(width), [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; ++r) {
      std::memcpy(y + index[r] * width, x + r * width, static_cast<size_t>(width) * sizeof(float));
    }
  });
}

// Single floats a row apart: no register has more than one of them, so the plain loop is the fast one.
void gather_columns(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t width,
                    int64_t count, const Checker& check) {
  cpu::require_indices_below(check, "index", index, count, width);
  cpu::pool(context).ranges(rows, cpu::rows_per_task(count), [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; ++r) {
      for (int64_t j = 0; j < count; ++j) y[r * count + j] = x[r * width + index[j]];
    }
  });
}

void add_columns(ln_context& context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t width,
                 int64_t count, const Checker& check) {
  cpu::require_indices_below(check, "index", index, count, width);
  cpu::pool(context).ranges(rows, cpu::rows_per_task(count), [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; ++r) {
      for (int64_t j = 0; j < count; ++j) y[r * width + index[j]] += x[r * count + j];
    }
  });
}

void moe_combine_fwd(ln_context& context, const float* x, const int32_t* rows_of_pairs, const float* weights, float* y,
                     int64_t tokens, int64_t top_k, int64_t width, bool accumulate) {
  const cpu::MoeKernels& kernels = cpu::moe_kernels(cpu::tier(context));
  cpu::pool(context).ranges(tokens, cpu::rows_per_task(width * top_k), [&](int64_t first, int64_t last, int) {
    kernels.combine_fwd(x, rows_of_pairs + first * top_k, weights == nullptr ? nullptr : weights + first * top_k,
                        y + first * width, last - first, top_k, width, accumulate);
  });
}

void moe_combine_bwd(ln_context& context, const float* dy, const float* x, const int32_t* rows_of_pairs,
                     const float* weights, float* dx, float* dweights, int64_t tokens, int64_t top_k, int64_t width) {
  const cpu::MoeKernels& kernels = cpu::moe_kernels(cpu::tier(context));
  cpu::pool(context).ranges(tokens, cpu::rows_per_task(width * top_k), [&](int64_t first, int64_t last, int) {
    kernels.combine_bwd(dy + first * width, x, rows_of_pairs + first * top_k, weights + first * top_k, dx,
                        dweights + first * top_k, last - first, top_k, width);
  });
}

}  // namespace ln::backend
