#include "embedding.hpp"

#include <cstring>
#include <string>

#include "cpu_backend.hpp"
#include "index_check.hpp"
#include "quantized_check.hpp"

namespace ln::backend {

namespace {

// Tokens may share a row of the gradient, so threads share out its columns; eight cache lines at a time.
constexpr int64_t kColumnsPerTask = 128;

void require_slots(const Checker& check, const int32_t* slots, const int32_t* ids, int64_t tokens, int64_t vocabulary,
                   int64_t count) {
  cpu::require_indices_below(check, "ids", ids, tokens, vocabulary);
  for (int64_t t = 0; t < tokens; ++t) {
    const int32_t slot = slots[ids[t]];
    if (slot < -1 || slot >= count) {
      check.fail(LN_INVALID_ARGUMENT, "slots[" + std::to_string(ids[t]) + "] is " + std::to_string(slot) +
                                          ", must be at least -1 and below " + std::to_string(count));
    }
  }
}

}  // namespace

void embedding_fwd(ln_context& context, const void* table, int32_t table_dtype, const int32_t* ids, float* y,
                   int64_t tokens, int64_t vocabulary, int64_t width, const Checker& check) {
  cpu::require_quantized(check, "table", table, table_dtype, vocabulary * width);
  cpu::require_indices_below(check, "ids", ids, tokens, vocabulary);
  const cpu::EmbeddingKernels& kernels = cpu::embedding_kernels(cpu::tier(context));
  cpu::pool(context).ranges(tokens, cpu::rows_per_task(width), [&](int64_t first, int64_t last, int) {
    kernels.forward(table, table_dtype, ids + first, y + first * width, last - first, width);
  });
}

void embedding_bwd(ln_context& context, const float* dy, const int32_t* ids, float* grad_table, int64_t tokens,
                   int64_t vocabulary, int64_t width, const Checker& check) {
  cpu::require_indices_below(check, "ids", ids, tokens, vocabulary);
  const cpu::EmbeddingKernels& kernels = cpu::embedding_kernels(cpu::tier(context));
  cpu::pool(context).ranges(width, kColumnsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.backward(dy, ids, grad_table, tokens, width, first, last);
  });
}

void embedding_rows_fwd(ln_context& context, const float* rows, const int32_t* slots, const int32_t* ids, float* y,
                        int64_t tokens, int64_t vocabulary, int64_t count, int64_t width, const Checker& check) {
  require_slots(check, slots, ids, tokens, vocabulary, count);
  cpu::pool(context).ranges(tokens, cpu::rows_per_task(width), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; ++t) {
      const int32_t slot = slots[ids[t]];
      if (slot >= 0) std::memcpy(y + t * width, rows + slot * width, static_cast<size_t>(width) * sizeof(float));
    }
  });
}

void embedding_rows_bwd(ln_context& context, const float* dy, const int32_t* slots, const int32_t* ids,
                        float* grad_rows, int64_t tokens, int64_t vocabulary, int64_t count, int64_t width,
                        const Checker& check) {
  require_slots(check, slots, ids, tokens, vocabulary, count);
  const cpu::EmbeddingKernels& kernels = cpu::embedding_kernels(cpu::tier(context));
  cpu::pool(context).ranges(width, kColumnsPerTask, [&](int64_t first, int64_t last, int) {
    for (int64_t t = 0; t < tokens; ++t) {
      const int32_t* slot = slots + ids[t];
      if (*slot >= 0) kernels.backward(dy + t * width, slot, grad_rows, 1, width, first, last);
    }
  });
}

}  // namespace ln::backend
