#include "embedding.hpp"
#include "reference_element.hpp"

namespace ln::cpu::reference {

namespace {

void forward(const void* table, int32_t table_dtype, const int32_t* ids, float* y, int64_t tokens, int64_t width) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < width; ++i) y[t * width + i] = weight_at(table, table_dtype, ids[t] * width + i);
  }
}

void backward(const float* dy, const int32_t* ids, float* grad_table, int64_t tokens, int64_t width, int64_t first,
              int64_t last) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = first; i < last; ++i) grad_table[ids[t] * width + i] += dy[t * width + i];
  }
}

}  // namespace

const EmbeddingKernels& embedding_kernels() {
  static const EmbeddingKernels kernels = {forward, backward};
  return kernels;
}

}  // namespace ln::cpu::reference
