#include "backend.hpp"

int32_t ln_axpby(ln_context* context, float alpha, const float* x, float beta, float* y, int64_t n) {
  return ln::guarded(context, "ln_axpby", [&](const ln::Checker& check) {
    check.at_least("n", n, 0);
    if (n == 0) return;
    check.pointer("x", x);
    check.pointer("y", y);
    ln::backend::axpby(*context, alpha, x, beta, y, n);
  });
}
