#include "backend.hpp"

int32_t ln_cross_entropy(ln_context* context, float* logits, const int32_t* labels, float* losses, int64_t rows,
                         int64_t vocabulary, float gradient_scale, int32_t want_gradient) {
  return ln::guarded(context, "ln_cross_entropy", [&](const ln::Checker& check) {
    check.at_least("rows", rows, 0);
    check.at_least("vocabulary", vocabulary, 1);
    check.finite("gradient_scale", static_cast<double>(gradient_scale));
    check.flag("want_gradient", want_gradient);
    if (rows == 0) return;
    check.pointer("logits", logits);
    check.pointer("labels", labels);
    check.pointer("losses", losses);
    ln::backend::cross_entropy(*context, logits, labels, losses, rows, vocabulary, gradient_scale, want_gradient == 1,
                               check);
  });
}
