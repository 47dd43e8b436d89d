#include <cstring>

#include "lora_native.h"
#include "matmul.hpp"

namespace ln::cpu::reference {

namespace {

float bits_to_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

float half_to_float(uint16_t h) {
  const float sign = (h & 0x8000u) != 0 ? -1.0f : 1.0f;
  const uint32_t exponent = (h >> 10) & 31u, fraction = h & 1023u;
  if (exponent == 31) return bits_to_float((h & 0x8000u) << 16 | 0x7f800000u | fraction << 13);
  if (exponent == 0) return sign * static_cast<float>(fraction) * 0x1p-24f;
  return sign * bits_to_float((exponent + 112) << 23 | fraction << 13);
}

float element(const void* data, int32_t dtype, int64_t i) {
  if (dtype == LN_F32) return static_cast<const float*>(data)[i];
  const uint16_t h = static_cast<const uint16_t*>(data)[i];
  return dtype == LN_BF16 ? bits_to_float(static_cast<uint32_t>(h) << 16) : half_to_float(h);
}

float element(const Matrix& x, int64_t i, int64_t j) {
  return element(x.data, x.dtype, x.transposed ? j * x.ld + i : i * x.ld + j);
}

bool takes_direct(const Product&) { return true; }

void direct(const Product& product, int64_t first, int64_t last) {
  for (int64_t i = 0; i < product.m; ++i) {
    for (int64_t j = first; j < last; ++j) {
      float* c = product.c + i * product.ldc + j;
      float value = product.bias == nullptr ? 0.0f : element(product.bias, product.bias_dtype, j);
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
