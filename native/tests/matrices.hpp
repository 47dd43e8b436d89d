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
  static const char* const names[] = {"f32", "bf16", "f16", "nf4", "fp4"};
  return names[dtype];
}

inline bool is_quantized(int32_t dtype) { return dtype == LN_NF4 || dtype == LN_FP4; }

/// The values of the 4-bit codes, as bits.
inline float quantized_value(int32_t type, int code) {
  static const uint32_t nf4[16] = {0xbf800000, 0xbf3239b1, 0xbf066b30, 0xbeca32a0, 0xbe91a24d, 0xbe3d353f,
                                   0xbdba7871, 0x00000000, 0x3da2faff, 0x3e24cae3, 0x3e7c04dd, 0x3ead033a,
                                   0x3ee1a4b8, 0x3f1007ab, 0x3f3913b3, 0x3f800000};
  static const uint32_t fp4[16] = {0x00000000, 0x3baaaaab, 0x3f2aaaab, 0x3f800000, 0x3eaaaaab, 0x3f000000,
                                   0x3e2aaaab, 0x3e800000, 0x80000000, 0xbbaaaaab, 0xbf2aaaab, 0xbf800000,
                                   0xbeaaaaab, 0xbf000000, 0xbe2aaaab, 0xbe800000};
  const uint32_t bits = (type == LN_NF4 ? nf4 : fp4)[code];
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

/// A 4-bit weight with random codes and scales in [-1, 1), all arrays ending at guard pages.
class TestQuantized {
 public:
  TestQuantized(int64_t elements, int64_t block, int64_t nested_block, Random& random)
      : blocks_((elements + block - 1) / block),
        codes_((elements + 1) / 2),
        absmax_(nested_block > 0 ? 0 : blocks_),
        absmax_codes_(nested_block > 0 ? blocks_ : 0),
        nested_absmax_(nested_block > 0 ? (blocks_ + nested_block - 1) / nested_block : 0),
        nested_code_(nested_block > 0 ? 256 : 0),
        weight_(elements > 0 ? 1 : 0) {
    for (int64_t i = 0; i < codes_.size(); ++i) codes_[i] = static_cast<uint8_t>(random.next());
    for (int64_t i = 0; i < absmax_.size(); ++i) absmax_[i] = random.uniform();
    for (int64_t i = 0; i < absmax_codes_.size(); ++i) absmax_codes_[i] = static_cast<uint8_t>(random.next());
    for (int64_t i = 0; i < nested_absmax_.size(); ++i) nested_absmax_[i] = 0.5f * random.uniform();
    for (int64_t i = 0; i < nested_code_.size(); ++i) nested_code_[i] = random.uniform();
    if (elements == 0) return;
    *weight_.data() = {codes_,
                       nested_block > 0 ? static_cast<const void*>(absmax_codes_) : absmax_,
                       nullptr,
                       nullptr,
                       elements,
                       block,
                       nested_block,
                       nested_block > 0 ? 0.25f : 0.0f,
                       0};
    if (nested_block > 0) {
      weight_[0].nested_absmax = nested_absmax_;
      weight_[0].nested_code = nested_code_;
    }
  }

  ln_quantized* weight() { return weight_; }
  const ln_quantized* weight() const { return weight_; }

  float value(int32_t type, int64_t i) const {
    const int64_t b = i / weight_[0].block;
    volatile float scale = absmax_.size() > 0 ? absmax_[b] : 0.0f;  // volatile: every operation rounds
    if (absmax_.size() == 0) {
      scale = nested_code_[absmax_codes_[b]] * nested_absmax_[b / weight_[0].nested_block];
      scale = scale + weight_[0].offset;
    }
    const int code = codes_[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
    return quantized_value(type, code) * scale;
  }

 private:
  int64_t blocks_;
  Guarded<uint8_t> codes_;
  Guarded<float> absmax_;
  Guarded<uint8_t> absmax_codes_;
  Guarded<float> nested_absmax_, nested_code_;
  Guarded<ln_quantized> weight_;
};

/// rows x columns in [-1, 1), stored row-major with `gap` unused elements between rows and none after the last one;
/// 4-bit ones have no gaps, and blocks and double quantisation as `random` draws them.
class TestMatrix {
 public:
  TestMatrix(int64_t rows, int64_t columns, int32_t dtype, Random& random, int64_t gap = 0)
      : dtype_(dtype),
        rows_(rows),
        columns_(columns),
        ld_(columns + (is_quantized(dtype) ? 0 : gap)),
        wide_(dtype == LN_F32 ? stored() : 0),
        narrow_(dtype == LN_BF16 || dtype == LN_F16 ? stored() : 0),
        quantized_(is_quantized(dtype) ? stored() : 0, is_quantized(dtype) ? 32 << random.below(4) : 32,
                   is_quantized(dtype) && random.below(2) == 0 ? 4 << random.below(3) : 0, random),
        values_(static_cast<size_t>(rows * columns)) {
    for (int64_t i = 0; i < stored() && !is_quantized(dtype); ++i) {
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
                                                         : dtype_ == LN_F16  ? f16_value(narrow_[at])
                                                                             : quantized_.value(dtype_, at);
      }
    }
  }

  const void* data() const {
    if (is_quantized(dtype_)) return quantized_.weight();
    return dtype_ == LN_F32 ? static_cast<const void*>(wide_.data()) : narrow_.data();
  }
  float* floats() { return wide_.data(); }
  const float* floats() const { return wide_.data(); }
  uint16_t* halves() { return narrow_.data(); }
  ln_quantized* quantized() { return quantized_.weight(); }
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
  TestQuantized quantized_;
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
