#include <algorithm>

#include "harness.hpp"

namespace ln::test {
namespace {

uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}

float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

/// A 16-bit format with `mantissa` bits of mantissa, by its definition. Codes of magnitudes rise with their values, and
/// the code of infinity continues the row as if the exponent had no end; so rounding is the search for the nearest
/// value.
class Format {
 public:
  Format(int exponent_bits, int mantissa_bits) : mantissa_bits_(mantissa_bits), bias_((1 << (exponent_bits - 1)) - 1) {
    infinity_ = ((1 << exponent_bits) - 1) << mantissa_bits;
    for (int code = 0; code <= infinity_; ++code) values_.push_back(magnitude(code));
  }

  double value(uint16_t code) const {
    const int rest = code & 0x7fff;
    if (rest > infinity_) return NAN;
    const double size = rest == infinity_ ? INFINITY : values_[rest];
    return code & 0x8000 ? -size : size;
  }

  uint16_t nearest(double x) const {
    const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    const double size = std::min(std::abs(x), values_[infinity_]);
    const int above = static_cast<int>(std::lower_bound(values_.begin(), values_.end(), size) - values_.begin());
    if (values_[above] == size) return sign | above;
    const double up = values_[above] - size, down = size - values_[above - 1];
    if (up != down) return sign | (up < down ? above : above - 1);
    return sign | (above % 2 == 0 ? above : above - 1);
  }

  int infinity() const { return infinity_; }
  const std::vector<double>& values() const { return values_; }

 private:
  double magnitude(int code) const {
    const int exponent = code >> mantissa_bits_;
    const int mantissa = code & ((1 << mantissa_bits_) - 1);
    if (exponent == 0) return std::ldexp(mantissa, 1 - bias_ - mantissa_bits_);
    return std::ldexp((1 << mantissa_bits_) + mantissa, exponent - bias_ - mantissa_bits_);
  }

  int mantissa_bits_, bias_, infinity_;
  std::vector<double> values_;
};

const Format& format(int32_t dtype) {
  static const Format bf16(8, 7), f16(5, 10);
  return dtype == LN_BF16 ? bf16 : f16;
}

/// Every value of the format, every midpoint between two of them, the floats next to the midpoints, both signs, and the
/// extremes.
std::vector<float> rounding_cases(const Format& format) {
  std::vector<float> cases = {0.0f,           -0.0f,  INFINITY, -INFINITY, 3.4028235e38f,
                              -3.4028235e38f, 1e-45f, -1e-45f,  1e-39f,    70000.0f};
  for (size_t i = 0; i + 1 < format.values().size(); ++i) {
    const float middle = static_cast<float>((format.values()[i] + format.values()[i + 1]) / 2);
    for (float x : {static_cast<float>(format.values()[i]), middle, std::nextafter(middle, 0.0f),
                    std::nextafter(middle, INFINITY)}) {
      cases.push_back(x);
      cases.push_back(-x);
    }
  }
  return cases;
}

TEST(Cast, NarrowsToTheNearestValueAndAmongTwoToTheEvenOne) {
  for (int32_t dtype : {LN_BF16, LN_F16}) {
    const std::vector<float> x = rounding_cases(format(dtype));
    const int64_t n = static_cast<int64_t>(x.size());
    for (int32_t simd : tiers()) {
      Context context(simd, 2);
      std::vector<uint16_t> y(x.size());
      ASSERT_EQ(LN_OK, ln_cast(context, x.data(), LN_F32, y.data(), dtype, n)) << context.error();
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(format(dtype).nearest(x[i]), y[i]) << simd_name(simd) << " dtype " << dtype << " of " << x[i];
      }
    }
  }
}

TEST(Cast, WidensEveryValueExactly) {
  std::vector<uint16_t> x(65536);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint16_t>(i);
  for (int32_t dtype : {LN_BF16, LN_F16}) {
    for (int32_t simd : tiers()) {
      Context context(simd, 2);
      std::vector<float> y(x.size());
      ASSERT_EQ(LN_OK, ln_cast(context, x.data(), dtype, y.data(), LN_F32, 65536)) << context.error();
      for (size_t i = 0; i < x.size(); ++i) {
        const double expected = format(dtype).value(x[i]);
        if (std::isnan(expected)) {
          ASSERT_TRUE(std::isnan(y[i])) << simd_name(simd) << " dtype " << dtype << " code " << i;
        } else {
          ASSERT_EQ(bits_of(static_cast<float>(expected)), bits_of(y[i]))
              << simd_name(simd) << " dtype " << dtype << " code " << i;
        }
      }
    }
  }
}

TEST(Cast, BetweenThe16BitFormatsGoesThroughTheExactValue) {
  std::vector<uint16_t> x(65536);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint16_t>(i);
  for (int32_t from : {LN_BF16, LN_F16}) {
    const int32_t to = from == LN_BF16 ? LN_F16 : LN_BF16;
    for (int32_t simd : tiers()) {
      Context context(simd, 2);
      std::vector<uint16_t> y(x.size());
      ASSERT_EQ(LN_OK, ln_cast(context, x.data(), from, y.data(), to, 65536)) << context.error();
      for (size_t i = 0; i < x.size(); ++i) {
        const double value = format(from).value(x[i]);
        if (std::isnan(value)) {
          ASSERT_TRUE(std::isnan(format(to).value(y[i]))) << simd_name(simd) << " code " << i;
        } else {
          ASSERT_EQ(format(to).nearest(value), y[i]) << simd_name(simd) << " from " << from << " code " << i;
        }
      }
    }
  }
}

TEST(Cast, KeepsNaNWhateverItsPayload) {
  std::vector<float> x;
  for (uint32_t payload : {0x7f800001u, 0x7f801fffu, 0x7fbfffffu, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    for (int copy = 0; copy < 5; ++copy) x.push_back(float_of(payload));
  }
  for (int32_t dtype : {LN_BF16, LN_F16}) {
    for (int32_t simd : tiers()) {
      Context context(simd);
      std::vector<uint16_t> y(x.size());
      ASSERT_EQ(LN_OK, ln_cast(context, x.data(), LN_F32, y.data(), dtype, static_cast<int64_t>(x.size())));
      for (uint16_t code : y) EXPECT_TRUE(std::isnan(format(dtype).value(code))) << simd_name(simd) << " " << code;
    }
  }
}

TEST(Cast, TouchesOnlyItsElementsAndCopiesEqualDtypes) {
  for (int32_t simd : tiers()) {
    for (int64_t n : {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 16385}) {
      Context context(simd, 3);
      Random random(5);
      Guarded<float> x(n, random), back(n), copy(n);
      Guarded<uint16_t> half(n), same(n);
      for (int32_t dtype : {LN_BF16, LN_F16}) {
        ASSERT_EQ(LN_OK, ln_cast(context, x, LN_F32, half, dtype, n)) << context.error();
        for (int64_t i = 0; i < n; ++i) ASSERT_EQ(format(dtype).nearest(x[i]), half[i]);
        ASSERT_EQ(LN_OK, ln_cast(context, half, dtype, back, LN_F32, n)) << context.error();
        for (int64_t i = 0; i < n; ++i) ASSERT_EQ(format(dtype).value(half[i]), back[i]);
        ASSERT_EQ(LN_OK, ln_cast(context, half, dtype, same, dtype, n)) << context.error();
        expect_identical(same.data(), half.data(), n, "copy of 16-bit values");
      }
      ASSERT_EQ(LN_OK, ln_cast(context, x, LN_F32, copy, LN_F32, n)) << context.error();
      expect_identical(copy.data(), x.data(), n, "copy of floats");
    }
  }
}

TEST(Cast, RefusesBadArguments) {
  Context context;
  float x[2] = {};
  uint16_t y[2] = {};
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cast(context, x, 3, y, LN_BF16, 1));
  EXPECT_EQ("ln_cast: src_dtype is 3, a 4-bit type; only weights are", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cast(context, x, LN_F32, y, -1, 1));
  EXPECT_EQ("ln_cast: dst_dtype is -1, not an ln_dtype", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cast(context, nullptr, LN_F32, y, LN_F16, 1));
  EXPECT_EQ("ln_cast: src is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cast(context, x, LN_F32, reinterpret_cast<char*>(y) + 1, LN_F16, 1));
  EXPECT_EQ("ln_cast: dst is not aligned to 2 bytes", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_cast(context, x, LN_F32, y, LN_F16, -1));
  EXPECT_EQ("ln_cast: n is -1, must be at least 0", context.error());
  EXPECT_EQ(LN_OK, ln_cast(context, nullptr, LN_F32, nullptr, LN_F16, 0));
}

}  // namespace
}  // namespace ln::test
