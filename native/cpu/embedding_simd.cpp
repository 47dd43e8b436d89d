#include "embedding.hpp"
#include "simd/quantized.hpp"
#include "simd/rows.hpp"

namespace ln::cpu::LN_TIER {

namespace {

template <int Dtype>
void forward_of(const void* table, const int32_t* ids, float* y, int64_t tokens, int64_t width) {
  for (int64_t t = 0; t < tokens; ++t, y += width) {
    const int64_t row = ids[t] * width;
    int64_t i = 0;
    for (; i + kWidth <= width; i += kWidth) store(y + i, load_as<Dtype>(table, row + i));
    if (i < width) store_part(y + i, load_part_as<Dtype>(table, row + i, width - i), width - i);
  }
}

template <int Type>
void quantized_forward(const ln_quantized* table, const int32_t* ids, float* y, int64_t tokens, int64_t width) {
  for (int64_t t = 0; t < tokens; ++t) dequantize_to<Type, LN_F32>(*table, ids[t] * width, width, y + t * width);
}

void forward(const void* table, int32_t table_dtype, const int32_t* ids, float* y, int64_t tokens, int64_t width) {
  if (table_dtype == LN_BF16) return forward_of<LN_BF16>(table, ids, y, tokens, width);
  if (table_dtype == LN_F16) return forward_of<LN_F16>(table, ids, y, tokens, width);
  if (table_dtype == LN_NF4) return quantized_forward<LN_NF4>((const ln_quantized*)table, ids, y, tokens, width);
  if (table_dtype == LN_FP4) return quantized_forward<LN_FP4>((const ln_quantized*)table, ids, y, tokens, width);
  forward_of<LN_F32>(table, ids, y, tokens, width);
}

void backward(const float* dy, const int32_t* ids, float* grad_table, int64_t tokens, int64_t width, int64_t first,
              int64_t last) {
  for (int64_t t = 0; t < tokens; ++t) {
    const float* source = dy + t * width;
    float* target = grad_table + ids[t] * width;
    int64_t i = first;
    for (; i + kWidth <= last; i += kWidth) store(target + i, load(target + i) + load(source + i));
    for (; i < last; ++i) target[i] += source[i];
  }
}

}  // namespace

const EmbeddingKernels& embedding_kernels() {
  static const EmbeddingKernels kernels = {forward, backward};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
