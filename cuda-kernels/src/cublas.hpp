// The seam to cuBLAS: opened at run time if it is there, so that the library neither needs it to load nor to be built.
#pragma once

#include <string>

#include "products.hpp"

namespace ln::cuda {

/// A handle on cuBLAS for one context, with working memory of its own; NULL and the reason where it cannot be had.
struct Cublas;
Cublas* open_cublas(const Backend& backend, std::string& why_not);
void close_cublas(Cublas* cublas) noexcept;
/// As cublasGetVersion tells it: 130000 for 13.0.
int64_t cublas_version(const Cublas& cublas);

/// Whether sizes and leading dimensions are within its 32 bits.
bool fits_cublas(const Product& product);
/// c = alpha * left . right + beta * c, both operands of the type that the context multiplies in. The product's bias
/// and adapter are not looked at.
void multiply_by_cublas(const ln_context& context, const char* name, const Product& product);

}  // namespace ln::cuda
