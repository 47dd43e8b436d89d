#include "matmul.hpp"
#include "reference_element.hpp"

namespace ln::cpu::reference {

namespace {

float element(const Matrix& x, int64_t i, int64_t j) {
  return weight_at(x.data, x.dtype, x.transposed ? j * x.ld + i : i * x.ld + j);
}

bool takes_direct(const Product&) { return true; }

void direct(const Product& product, int64_t first, int64_t last) {
  for (int64_t i = 0; i < product.m; ++i) {
    for (int64_t j = first; j < last; ++j) {
      float* c = product.c + i * product.ldc + j;
      float value = product.bias == nullptr ? 0.0f : weight_at(product.bias, product.bias_dtype, j);
      if (product.beta != 0) value += product.beta * *c;
      for (int32_t t = 0; t < product.term_count; ++t) {
        const Term& term = product.terms[t];
        float dot = 0;
        for (int64_t k = 0; k < term.k; ++k) dot += element(term.a, i, k) * element(term.b, k, j);
        value += term.scale * dot;
      }
      *c = value;
    }
  }
}

}  // namespace

const MatmulKernels& matmul_kernels() {
  static const MatmulKernels kernels = {1, 16, 1, INT64_MAX, nullptr, nullptr, nullptr, takes_direct, direct};
  return kernels;
}

}  // namespace ln::cpu::reference
