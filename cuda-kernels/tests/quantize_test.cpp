// What the 4-bit kernels do beyond the CPU library's cases: places of the result that are not aligned, descriptors that
// cannot be refused, ranges longer than one pass of the grid.
#include "matrices.hpp"
#include "reference_element.hpp"

namespace ln::test {
namespace {

int64_t bytes_of(int32_t dtype) { return dtype == LN_F32 ? 4 : 2; }

/// The bits of x as dtype.
uint32_t rounded(float x, int32_t dtype) {
  uint32_t bits = 0;
  if (dtype == LN_F32) {
    std::memcpy(&bits, &x, 4);
    return bits;
  }
  uint32_t wide;
  std::memcpy(&wide, &x, 4);
  if (dtype == LN_BF16) return (wide + 0x7fff + (wide >> 16 & 1)) >> 16;
  // float16, by hand: scales here keep values in its normal and subnormal range.
  const uint32_t sign = wide >> 16 & 0x8000;
  const int exponent = std::max(x == 0 ? -14 : std::ilogb(x), -14);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(std::fabs(x), 10 - exponent)));
  return sign | static_cast<uint32_t>(((exponent + 14) << 10) + steps);
}

TEST(CudaDequantize, AnyAlignmentOfTheResultInEveryFormat) {
  Random random(31);
  for (int32_t schedule : {0, 2}) {
    Context context(schedule);
    for (int repeat = 0; repeat < 60; ++repeat) {
      const int64_t n = 1 + random.below(5000), first = random.below(std::min<int64_t>(n, 70));
      const int64_t count = n - first - random.below(std::min<int64_t>(n - first, 20)), shift = random.below(9);
      const int32_t type = repeat % 2 == 0 ? LN_NF4 : LN_FP4, dtype = repeat % 3;
      const TestQuantized x(n, 32 << random.below(5), repeat % 5 < 2 ? 2 << random.below(8) : 0, random);
      const int64_t bytes = bytes_of(dtype);
      std::vector<char> y(static_cast<size_t>((count + 16) * bytes + 64), 0x5a);
      char* const at = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(y.data()) + 15) / 16 * 16) + shift * bytes;
      ASSERT_EQ(LN_OK, ln_dequantize(context, x.weight(), type, first, count, at, dtype)) << context.error();
      for (int64_t i = 0; i < count; ++i) {
        uint32_t bits = 0;
        std::memcpy(&bits, at + i * bytes, static_cast<size_t>(bytes));
        ASSERT_EQ(rounded(x.value(type, first + i), dtype), bits)
            << "element " << first << " + " << i << " of " << count << " as " << dtype_name(dtype) << " shift "
            << shift;
      }
      for (int64_t i = 0; i < 8; ++i) ASSERT_EQ(0x5a, at[count * bytes + i]) << "past the end";
    }
  }
}

TEST(CudaDequantize, LongerThanOnePassOfTheGrid) {
  Random random(32);
  Context context;
  const int64_t n = 300001;  // 32 blocks of 8192 elements are a pass
  const TestQuantized x(n, 64, 256, random);
  Guarded<uint16_t> y(n);
  ASSERT_EQ(LN_OK, ln_dequantize(context, x.weight(), LN_NF4, 0, n, y, LN_BF16)) << context.error();
  for (int64_t i = 0; i < n; ++i) ASSERT_EQ(rounded(x.value(LN_NF4, i), LN_BF16), y[i]) << i;
}

TEST(CudaDequantize, WhatCannotBeRefusedIsNotANumber) {
  Random random(33);
  Context context;
  const TestQuantized x(100, 64, 4, random);
  const auto check = [&](auto change, int64_t first, int64_t known) {
    ln_quantized weight = *x.weight();
    change(weight);
    Guarded<float> y(100);
    ASSERT_EQ(LN_OK, ln_dequantize(context, &weight, LN_NF4, first, 100, y, LN_F32)) << context.error();
    for (int64_t i = 0; i < 100; ++i) ASSERT_EQ(i >= known, std::isnan(y[i])) << i;
  };
  check([](auto&) {}, 0, 100);
  check([](auto&) {}, 30, 70);
  check([](auto&) {}, 1000, 0);
  check([](auto& w) { w.block = 65; }, 0, 0);
  check([](auto& w) { w.elements = -5; }, 0, 0);
  check([](auto& w) { w.codes = nullptr; }, 0, 0);
  check([](auto& w) { w.absmax = nullptr; }, 0, 0);
  check([](auto& w) { w.nested_code = nullptr; }, 0, 0);
  check([](auto& w) { w.nested_block = 0; }, 0, 0);
}

/// Against the rule in plain words; the golden cases of the shared test have only blocks of even length.
TEST(CudaQuantize, EqualsTheRuleForOddLengths) {
  Random random(34);
  for (int32_t schedule : {0, 1}) {
    Context context(schedule);
    for (int64_t n : {1, 31, 33, 1027, 4099}) {
      for (int32_t type : {LN_NF4, LN_FP4}) {
        for (int32_t dtype : {LN_F32, LN_BF16, LN_F16}) {
          const int64_t block = 32 << random.below(8), blocks = (n + block - 1) / block;
          const TestMatrix x(1, n, dtype, random);
          Guarded<uint8_t> codes((n + 1) / 2);
          Guarded<float> absmax(blocks);
          ASSERT_EQ(LN_OK, ln_quantize(context, x.data(), dtype, n, type, block, codes, absmax)) << context.error();
          for (int64_t i = 0; i < n + n % 2; ++i) {
            float largest = 0;
            for (int64_t k = i / block * block; k < std::min(n, (i / block + 1) * block); ++k) {
              largest = std::max(largest, std::fabs(static_cast<float>(x(0, k))));
            }
            ASSERT_EQ(largest, absmax[std::min(i, n - 1) / block]);
            const float value = i < n ? static_cast<float>(x(0, i)) : 0, r = value * (1.0f / std::max(largest, 1e-38f));
            int expected = 0;
            for (float midpoint : cpu::kNf4Midpoints.of) expected += midpoint < r;
            if (type == LN_FP4) {
              expected = 0;
              for (int k = 0; k < 7; ++k)
                expected = std::fabs(r) > cpu::kFp4Midpoints[k] ? cpu::kFp4Codes[k] : expected;
              expected += value < 0 ? 8 : 0;
            }
            ASSERT_EQ(expected, codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15) << n << " " << dtype_name(dtype) << " " << i;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace ln::test
