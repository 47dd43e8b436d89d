#include "pair_checks.hpp"

namespace {

void check_rows(const ln::Checker& check, int64_t rows, const char* other_name, int64_t other_rows, int64_t width) {
  check.at_least("rows", rows, 0);
  check.at_least(other_name, other_rows, 0);
  check.at_most(other_name, other_rows, ln::kMostRows);
  check.at_least("width", width, 1);
}

}  // namespace

int32_t ln_moe_plan(ln_context* context, const ln_moe_plan_args* args) {
  return ln::guarded(context, "ln_moe_plan", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    ln::check_pairs(check, args->tokens, args->top_k);
    check.at_least("experts", args->experts, 1);
    check.at_most("experts", args->experts, ln::kMostRows - 1);
    check.pointer("offsets", args->offsets);
    if (args->tokens > 0) {
      check.pointer("ids", args->ids);
      check.pointer("rows_of_pairs", args->rows_of_pairs);
      check.pointer("tokens_of_rows", args->tokens_of_rows);
    }
    ln::backend::moe_plan(*context, *args, check);
  });
}

int32_t ln_gather_rows(ln_context* context, const float* x, const int32_t* index, float* y, int64_t rows,
                       int64_t source_rows, int64_t width) {
  return ln::guarded(context, "ln_gather_rows", [&](const ln::Checker& check) {
    check_rows(check, rows, "source_rows", source_rows, width);
    if (rows == 0) return;
    check.pointer("x", x);
    check.pointer("index", index);
    check.pointer("y", y);
    ln::backend::gather_rows(*context, x, index, y, rows, source_rows, width, check);
  });
}

int32_t ln_scatter_rows(ln_context* context, const float* x, const int32_t* index, float* y, int64_t rows,
                        int64_t target_rows, int64_t width) {
  return ln::guarded(context, "ln_scatter_rows", [&](const ln::Checker& check) {
    check_rows(check, rows, "target_rows", target_rows, width);
    check.at_most("rows", rows, target_rows);
    if (rows == 0) return;
    check.pointer("x", x);
    check.pointer("index", index);
    check.pointer("y", y);
    ln::backend::scatter_rows(*context, x, index, y, rows, target_rows, width, check);
  });
}

namespace {

void check_columns(const ln::Checker& check, int64_t rows, int64_t width, int64_t count, const float* x,
                   const int32_t* index, const float* y) {
  check.at_least("rows", rows, 0);
  check.at_least("width", width, 1);
  check.at_most("width", width, ln::kMostRows);
  check.at_least("count", count, 0);
  check.at_most("count", count, width);
  if (rows == 0 || count == 0) return;
  check.pointer("x", x);
  check.pointer("index", index);
  check.pointer("y", y);
}

}  // namespace

int32_t ln_gather_columns(ln_context* context, const float* x, const int32_t* index, float* y, int64_t rows,
                          int64_t width, int64_t count) {
  return ln::guarded(context, "ln_gather_columns", [&](const ln::Checker& check) {
    check_columns(check, rows, width, count, x, index, y);
    if (rows > 0) ln::backend::gather_columns(*context, x, index, y, rows, width, count, check);
  });
}

int32_t ln_add_columns(ln_context* context, const float* x, const int32_t* index, float* y, int64_t rows, int64_t width,
                       int64_t count) {
  return ln::guarded(context, "ln_add_columns", [&](const ln::Checker& check) {
    check_columns(check, rows, width, count, x, index, y);
    if (rows > 0) ln::backend::add_columns(*context, x, index, y, rows, width, count, check);
  });
}

int32_t ln_moe_combine_fwd(ln_context* context, const float* x, const int32_t* rows_of_pairs, const float* weights,
                           float* y, int64_t tokens, int64_t top_k, int64_t width, int32_t accumulate) {
  return ln::guarded(context, "ln_moe_combine_fwd", [&](const ln::Checker& check) {
    ln::check_pairs(check, tokens, top_k);
    check.at_least("width", width, 1);
    check.flag("accumulate", accumulate);
    if (tokens == 0) return;
    check.pointer("x", x);
    check.pointer("rows_of_pairs", rows_of_pairs);
    check.optional("weights", weights);
    check.pointer("y", y);
    ln::backend::moe_combine_fwd(*context, x, rows_of_pairs, weights, y, tokens, top_k, width, accumulate == 1);
  });
}

int32_t ln_moe_combine_bwd(ln_context* context, const float* dy, const float* x, const int32_t* rows_of_pairs,
                           const float* weights, float* dx, float* dweights, int64_t tokens, int64_t top_k,
                           int64_t width) {
  return ln::guarded(context, "ln_moe_combine_bwd", [&](const ln::Checker& check) {
    ln::check_pairs(check, tokens, top_k);
    check.at_least("width", width, 1);
    if (tokens == 0) return;
    check.pointer("dy", dy);
    check.pointer("x", x);
    check.pointer("rows_of_pairs", rows_of_pairs);
    check.pointer("weights", weights);
    check.pointer("dx", dx);
    check.pointer("dweights", dweights);
    ln::backend::moe_combine_bwd(*context, dy, x, rows_of_pairs, weights, dx, dweights, tokens, top_k, width);
  });
}
