#include "backend.hpp"

int32_t ln_dropout(ln_context* context, const float* x, float* y, int64_t n, float p, int64_t seed, int64_t stream,
                   int32_t accumulate) {
  return ln::guarded(context, "ln_dropout", [&](const ln::Checker& check) {
    check.at_least("n", n, 0);
    if (!(p >= 0 && p <= 1)) check.fail(LN_INVALID_ARGUMENT, "p is " + std::to_string(p) + ", must be from 0 to 1");
    check.flag("accumulate", accumulate);
    if (n == 0) return;
    check.pointer("x", x);
    check.pointer("y", y);
    ln::backend::dropout(*context, x, y, n, p, seed, stream, accumulate == 1);
  });
}
