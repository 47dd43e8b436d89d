#include "backend.hpp"

namespace {

void check_arguments(const ln::Checker& check, const float* x, int64_t n, const double* result) {
  check.at_least("n", n, 0);
  if (n > 0) check.pointer("x", x);
  check.pointer("result", result, 8);
}

}  // namespace

int32_t ln_sum(ln_context* context, const float* x, int64_t n, double* result) {
  return ln::guarded(context, "ln_sum", [&](const ln::Checker& check) {
    check_arguments(check, x, n, result);
    ln::backend::sum(*context, x, n, result);
  });
}

int32_t ln_sum_of_squares(ln_context* context, const float* x, int64_t n, double* result) {
  return ln::guarded(context, "ln_sum_of_squares", [&](const ln::Checker& check) {
    check_arguments(check, x, n, result);
    ln::backend::sum_of_squares(*context, x, n, result);
  });
}

int32_t ln_column_sums(ln_context* context, const float* x, float* result, int64_t rows, int64_t columns) {
  return ln::guarded(context, "ln_column_sums", [&](const ln::Checker& check) {
    check.at_least("rows", rows, 0);
    check.at_least("columns", columns, 1);
    if (rows == 0) return;
    check.pointer("x", x);
    check.pointer("result", result);
    ln::backend::column_sums(*context, x, result, rows, columns);
  });
}
