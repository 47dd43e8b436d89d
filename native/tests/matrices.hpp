// Matrices of any ln_dtype for the tests of products: the stored bits end at a guard page, the values are known in
// double.
#pragma once

#include <cmath>

#include "harness.hpp"

namespace ln::test {

inline double bf16_value(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float x;
  std::memcpy(&x, &wide, 4);
  return x;
}

inline double f16_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = bits >> 15 != 0 ? -1.0 : 1.0;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

inline const char* dtype_name(int32_t dtype) {
  static const char* const names[] = {"f32", "bf16", "f16"};
  return names[dtype];
}

/// rows x columns in [-1, 1), stored row-major with `gap` unused elements between rows and none after the last one.
class TestMatrix {
 public:
  TestMatrix(int64_t rows, int64_t columns, int32_t dtype, Random& random, int64_t gap = 0)
      : dtype_(dtype),
        rows_(rows),
        columns_(columns),
        ld_(columns + gap),
        wide_(dtype == LN_F32 ? stored() : 0),
        narrow_(dtype == LN_F32 ? 0 : stored()),
        values_(static_cast<size_t>(rows * columns)) {
    for (int64_t i = 0; i < stored(); ++i) {
      if (dtype == LN_F32) {
        wide_[i] = random.uniform();
      } else if (dtype == LN_BF16) {
        const float x = random.uniform();
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        narrow_[i] = static_cast<uint16_t>(bits >> 16);
      } else {  // exponents 0 (subnormal) to 14
        narrow_[i] = static_cast<uint16_t>((random.next() & 0x83ffu) | static_cast<uint16_t>(random.below(15)) << 10);
      }
    }
    refresh();
  }

  /// Computes the values again from what is stored.
  void refresh() {
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < columns_; ++j) {
        const int64_t at = i * ld_ + j;
        values_[static_cast<size_t>(i * columns_ + j)] = dtype_ == LN_F32    ? wide_[at]
                                                         : dtype_ == LN_BF16 ? bf16_value(narrow_[at])
                                                                             : f16_value(narrow_[at]);
      }
    }
  }

  const void* data() const { return dtype_ == LN_F32 ? static_cast<const void*>(wide_.data()) : narrow_.data(); }
  float* floats() { return wide_.data(); }
  const float* floats() const { return wide_.data(); }
  uint16_t* halves() { return narrow_.data(); }
  int32_t dtype() const { return dtype_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t ld() const { return ld_; }
  double operator()(int64_t i, int64_t j) const { return values_[static_cast<size_t>(i * columns_ + j)]; }

 private:
  int64_t stored() const { return rows_ == 0 || columns_ == 0 ? 0 : (rows_ - 1) * ld_ + columns_; }

  int32_t dtype_;
  int64_t rows_, columns_, ld_;
  Guarded<float> wide_;
  Guarded<uint16_t> narrow_;
  std::vector<double> values_;
};

/// A row-major matrix in double: what the products should give.
struct Oracle {
  int64_t rows, columns;
  std::vector<double> values;

  Oracle(int64_t rows_in, int64_t columns_in)
      : rows(rows_in), columns(columns_in), values(static_cast<size_t>(rows_in * columns_in)) {}
  double& operator()(int64_t i, int64_t j) { return values[static_cast<size_t>(i * columns + j)]; }
  double operator()(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * columns + j)]; }
};

/// result(i, j) += factor * sum over p < k of a(i, p) * b(p, j)
template <typename Result, typename A, typename B>
void add_product(Result&& result, int64_t m, int64_t n, int64_t k, double factor, const A& a, const B& b) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double dot = 0;
      for (int64_t p = 0; p < k; ++p) dot += a(i, p) * b(p, j);
      result(i, j) += factor * dot;
    }
  }
}

/// The error that float32 sums of k products of numbers up to 1 may have, relative to product_scale(k).
inline double product_tolerance(int64_t k) { return 4e-7 * (2 + std::sqrt(static_cast<double>(k)) / 4); }
inline double product_scale(int64_t k) { return 0.5 + std::sqrt(static_cast<double>(k)) / 3; }

inline void expect_product(const float* actual, const Oracle& expected, int64_t k, const std::string& what) {
  expect_close(actual, expected.values, expected.rows * expected.columns, product_tolerance(k), what, product_scale(k));
}

}  // namespace ln::test
