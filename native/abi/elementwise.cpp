#include "backend.hpp"

namespace {

void check_limit(const ln::Checker& check, float limit) {
  if (!(limit >= 0)) check.fail(LN_INVALID_ARGUMENT, "limit is " + std::to_string(limit) + ", must be at least 0");
}

}  // namespace

int32_t ln_axpby(ln_context* context, float alpha, const float* x, float beta, float* y, int64_t n) {
  return ln::guarded(context, "ln_axpby", [&](const ln::Checker& check) {
    check.at_least("n", n, 0);
    if (n == 0) return;
    check.pointer("x", x);
    check.pointer("y", y);
    ln::backend::axpby(*context, alpha, x, beta, y, n);
  });
}

int32_t ln_clamp_fwd(ln_context* context, float* x, int64_t n, float limit) {
  return ln::guarded(context, "ln_clamp_fwd", [&](const ln::Checker& check) {
    check.at_least("n", n, 0);
    check_limit(check, limit);
    if (n == 0) return;
    check.pointer("x", x);
    ln::backend::clamp_fwd(*context, x, n, limit);
  });
}

int32_t ln_clamp_bwd(ln_context* context, const float* y, float* dy, int64_t n, float limit) {
  return ln::guarded(context, "ln_clamp_bwd", [&](const ln::Checker& check) {
    check.at_least("n", n, 0);
    check_limit(check, limit);
    if (n == 0) return;
    check.pointer("y", y);
    check.pointer("dy", dy);
    ln::backend::clamp_bwd(*context, y, dy, n, limit);
  });
}
