#include "cross_entropy.hpp"

#include <algorithm>

#include "cpu_backend.hpp"

namespace ln::backend {

namespace {

constexpr int32_t kIgnored = -100;

}  // namespace

void cross_entropy(ln_context& context, float* logits, const int32_t* labels, float* losses, int64_t rows,
                   int64_t vocabulary, float gradient_scale, bool want_gradient, const Checker& check) {
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] != kIgnored && (labels[r] < 0 || labels[r] >= vocabulary)) {
      check.fail(LN_INVALID_ARGUMENT, "labels[" + std::to_string(r) + "] is " + std::to_string(labels[r]) +
                                          ", must be -100 or at least 0 and below " + std::to_string(vocabulary));
    }
  }
  const cpu::CrossEntropyKernels& kernels = cpu::cross_entropy_kernels(cpu::tier(context));
  cpu::pool(context).ranges(rows, cpu::rows_per_task(vocabulary), [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; ++r) {
      float* row = logits + r * vocabulary;
      if (labels[r] == kIgnored) {
        losses[r] = 0;
        if (want_gradient) std::fill(row, row + vocabulary, 0.0f);
      } else {
        losses[r] = kernels.row(row, vocabulary, labels[r], gradient_scale, want_gradient);
      }
    }
  });
}

}  // namespace ln::backend
