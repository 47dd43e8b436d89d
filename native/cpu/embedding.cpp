#include "embedding.hpp"

#include "cpu_backend.hpp"
#include "index_check.hpp"
#include "quantized_check.hpp"

namespace ln::backend {

namespace {

// Tokens may share a row of the gradient, so threads share out its columns; eight cache lines at a time.
constexpr int64_t kColumnsPerTask = 128;

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

}  // namespace ln::backend
