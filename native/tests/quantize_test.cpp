#include <algorithm>

#include "golden.hpp"
#include "matrices.hpp"

namespace ln::test {
namespace {

template <typename T>
Guarded<T> guarded(const std::vector<char>& bytes) {
  Guarded<T> result(static_cast<int64_t>(bytes.size() / sizeof(T)));
  if (!bytes.empty()) std::memcpy(result.data(), bytes.data(), bytes.size());
  return result;
}

/// FP4 has two zeros; bitsandbytes' CPU code and its CUDA code, whose rule is ours, differ in which one tiny numbers
/// get.
uint8_t without_negative_zero(uint8_t byte) {
  const int high = byte >> 4, low = byte & 15;
  return static_cast<uint8_t>((high == 8 ? 0 : high) << 4 | (low == 8 ? 0 : low));
}

TEST(Quantize, HasTheCodesAndScalesOfBitsandbytes) {
  const std::vector<Golden> cases = golden_cases();
  ASSERT_EQ(59u, cases.size());
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (const Golden& g : cases) {
      const std::string what = std::string(simd_name(simd)) + " " + g.name;
      const Guarded<char> input = guarded<char>(g.input);
      Guarded<uint8_t> codes((g.n + 1) / 2), expected = guarded<uint8_t>(g.codes);
      Guarded<float> absmax(g.blocks());
      ASSERT_EQ(LN_OK, ln_quantize(context, input, g.dtype, g.n, g.type, g.block, codes, absmax)) << context.error();
      // Element 1858, a tie below 0: bitsandbytes' CPU code takes the larger magnitude (code 14).
      if (g.name == "fp4_normal_bf16") expected[929] = static_cast<uint8_t>(9 << 4 | (expected[929] & 15));
      for (int64_t i = 0; i < codes.size() && g.type == LN_FP4; ++i) {
        codes[i] = without_negative_zero(codes[i]);
        expected[i] = without_negative_zero(expected[i]);
      }
      expect_identical(codes.data(), expected.data(), codes.size(), what + " codes");
      expect_identical(absmax.data(), guarded<float>(g.absmax).data(), absmax.size(), what + " absmax");
      if (HasFailure()) return;
    }
  }
}

TEST(Quantize, QuantisesAbsmaxAsBitsandbytes) {
  const std::vector<float> map = dynamic_map();
  ASSERT_EQ(256u, map.size());
  for (int32_t simd : {LN_SIMD_REFERENCE, LN_SIMD_AUTO}) {
    Context context(simd, 2);
    for (const Golden& g : golden_cases()) {
      if (!g.nested) continue;
      const Guarded<float> absmax = guarded<float>(g.absmax);
      Guarded<uint8_t> codes(g.blocks());
      Guarded<float> nested((g.blocks() + 255) / 256), offset(1);
      ASSERT_EQ(LN_OK, ln_quantize_absmax(context, absmax, g.blocks(), 256, map.data(), codes, nested, offset))
          << context.error();
      expect_identical(offset.data(), guarded<float>(g.offset).data(), 1, g.name + " offset");
      expect_identical(nested.data(), guarded<float>(g.nested_absmax).data(), nested.size(), g.name + " nested absmax");
      expect_identical(codes.data(), guarded<uint8_t>(g.absmax_codes_nearest).data(), codes.size(),
                       g.name + " absmax codes");
      if (HasFailure()) return;
    }
  }
}

/// Dequantises the golden codes to a dtype; the hash of the bytes.
uint64_t dequantised(Context& context, const ln_quantized& weight, int32_t type, int32_t dtype) {
  Guarded<char> values(weight.elements * (dtype == LN_F32 ? 4 : 2));
  EXPECT_EQ(LN_OK, ln_dequantize(context, &weight, type, 0, weight.elements, values, dtype)) << context.error();
  return fnv1a(values.data(), values.size());
}

TEST(Dequantize, HasTheValuesOfBitsandbytesInEveryFormat) {
  const std::vector<float> map = dynamic_map();
  int64_t compared = 0;
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (const Golden& g : golden_cases()) {
      const Guarded<uint8_t> codes = guarded<uint8_t>(g.codes), absmax_codes = guarded<uint8_t>(g.absmax_codes);
      const Guarded<float> absmax = guarded<float>(g.absmax), nested_absmax = guarded<float>(g.nested_absmax);
      ln_quantized weight = {codes, absmax, nullptr, nullptr, g.n, g.block, 0, 0, 0};
      for (int32_t dtype : {LN_F32, LN_BF16, LN_F16}) {
        if (g.hashes[dtype] == 0) continue;
        ASSERT_EQ(g.hashes[dtype], dequantised(context, weight, g.type, dtype))
            << simd_name(simd) << " " << g.name << " as " << dtype_name(dtype);
        ++compared;
      }
      if (!g.nested) continue;
      weight.absmax = absmax_codes;
      weight.nested_absmax = nested_absmax;
      weight.nested_code = map.data();
      weight.nested_block = 256;
      weight.offset = guarded<float>(g.offset)[0];
      for (int32_t dtype : {LN_F32, LN_BF16}) {
        if (g.hashes[3 + dtype] == 0) continue;
        ASSERT_EQ(g.hashes[3 + dtype], dequantised(context, weight, g.type, dtype))
            << simd_name(simd) << " " << g.name << " double quantisation as " << dtype_name(dtype);
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 150 * static_cast<int64_t>(tiers().size()));
}

/// Sizes around whole registers and blocks, odd ones, every format: the fast versions write what the reference does.
TEST(Quantize, EveryTierWritesTheSameBytes) {
  Context reference(LN_SIMD_REFERENCE);
  Random random(7);
  for (int32_t simd : tiers()) {
    Context context(simd, 3);
    for (int64_t n : {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 500, 4097, 40001}) {
      for (int32_t dtype : {LN_F32, LN_BF16, LN_F16}) {
        for (int32_t type : {LN_NF4, LN_FP4}) {
          const int64_t block = 32 << random.below(8);
          const TestMatrix x(1, n, dtype, random);
          Guarded<uint8_t> codes((n + 1) / 2), expected_codes((n + 1) / 2);
          Guarded<float> absmax((n + block - 1) / block), expected_absmax(absmax.size());
          ASSERT_EQ(LN_OK, ln_quantize(reference, x.data(), dtype, n, type, block, expected_codes, expected_absmax));
          ASSERT_EQ(LN_OK, ln_quantize(context, x.data(), dtype, n, type, block, codes, absmax)) << context.error();
          const std::string what = std::string(simd_name(simd)) + " n " + std::to_string(n) + " " + dtype_name(dtype) +
                                   " to " + dtype_name(type) + " block " + std::to_string(block);
          expect_identical(codes.data(), expected_codes.data(), codes.size(), what + " codes");
          expect_identical(absmax.data(), expected_absmax.data(), absmax.size(), what + " absmax");
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST(Dequantize, AnyRangeOfElementsOnEveryTier) {
  Random random(8);
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (int repeat = 0; repeat < 300; ++repeat) {
      const int64_t n = 1 + random.below(700), first = random.below(n), count = random.below(n - first + 1);
      const int32_t type = repeat % 2 == 0 ? LN_NF4 : LN_FP4;
      const TestQuantized x(n, 32 << random.below(3), repeat % 3 == 0 ? 4 : 0, random);
      Guarded<float> actual(count), expected(count);
      for (int64_t i = 0; i < count; ++i) expected[i] = x.value(type, first + i);
      ASSERT_EQ(LN_OK, ln_dequantize(context, x.weight(), type, first, count, actual, LN_F32)) << context.error();
      expect_identical(actual.data(), expected.data(), count,
                       std::string(simd_name(simd)) + " elements from " + std::to_string(first));
      if (HasFailure()) return;
    }
  }
}

TEST(Quantize, NamesTheFirstElementThatIsNotFinite) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (int32_t dtype : {LN_F32, LN_BF16, LN_F16}) {
      Random random(9);
      TestMatrix x(1, 70001, dtype, random);
      Guarded<uint8_t> codes(35001);
      Guarded<float> absmax(1094);
      const auto put = [&](int64_t at, bool infinite) {
        if (dtype == LN_F32) x.floats()[at] = infinite ? -INFINITY : NAN;
        if (dtype == LN_BF16) x.halves()[at] = infinite ? 0xff80 : 0x7fc0;
        if (dtype == LN_F16) x.halves()[at] = infinite ? 0xfc00 : 0x7e00;
      };
      for (int64_t at : {70000, 40000, 77, 3}) {
        put(at, at % 2 == 0);
        EXPECT_EQ(LN_INVALID_ARGUMENT, ln_quantize(context, x.data(), dtype, 70001, LN_NF4, 64, codes, absmax));
        EXPECT_EQ("ln_quantize: src[" + std::to_string(at) + "] is NaN or infinite", context.error());
      }
    }
  }
}

TEST(Quantize, RefusesBadArguments) {
  Context context;
  float x[64] = {}, absmax[2] = {};
  uint8_t codes[32] = {};
  const auto refused = [&](const std::string& text, int32_t status) {
    EXPECT_EQ(LN_INVALID_ARGUMENT, status);
    EXPECT_EQ(text, context.error());
  };
  refused("ln_quantize: n is -1, must be at least 0", ln_quantize(context, x, LN_F32, -1, LN_NF4, 64, codes, absmax));
  refused("ln_quantize: src_dtype is 9, not an ln_dtype", ln_quantize(context, x, 9, 64, LN_NF4, 64, codes, absmax));
  refused("ln_quantize: type is 0, must be LN_NF4 (3) or LN_FP4 (4)",
          ln_quantize(context, x, LN_F32, 64, LN_F32, 64, codes, absmax));
  for (int64_t block : {0, 16, 48, 8192}) {
    refused("ln_quantize: block is " + std::to_string(block) + ", must be a power of two from 32 to 4096",
            ln_quantize(context, x, LN_F32, 64, LN_NF4, block, codes, absmax));
  }
  refused("ln_quantize: src is NULL", ln_quantize(context, nullptr, LN_F32, 64, LN_NF4, 64, codes, absmax));
  refused("ln_quantize: codes is NULL", ln_quantize(context, x, LN_F32, 64, LN_NF4, 64, nullptr, absmax));
  refused("ln_quantize: absmax is NULL", ln_quantize(context, x, LN_F32, 64, LN_NF4, 64, codes, nullptr));
  EXPECT_EQ(LN_OK, ln_quantize(context, nullptr, LN_F32, 0, LN_NF4, 64, nullptr, nullptr));

  std::vector<float> map = dynamic_map();
  float nested[1] = {}, offset = 0;
  absmax[1] = NAN;
  refused("ln_quantize_absmax: absmax[1] is NaN or infinite",
          ln_quantize_absmax(context, absmax, 2, 256, map.data(), codes, nested, &offset));
  absmax[0] = absmax[1] = 3e38f;
  refused("ln_quantize_absmax: the mean of absmax is not finite",
          ln_quantize_absmax(context, absmax, 2, 256, map.data(), codes, nested, &offset));
  refused("ln_quantize_absmax: nested_block is 3, must be a power of two from 1 to 1073741824",
          ln_quantize_absmax(context, absmax, 1, 3, map.data(), codes, nested, &offset));
  std::swap(map[3], map[4]);
  refused("ln_quantize_absmax: nested_code[4] is -0.950781, must be finite and not below the entry before it",
          ln_quantize_absmax(context, x, 1, 256, map.data(), codes, nested, &offset));
}

TEST(Dequantize, RefusesBadArguments) {
  Context context;
  Random random(10);
  TestQuantized x(100, 64, 4, random);
  Guarded<float> y(100);
  const auto refuses = [&](const std::string& text, auto change, int32_t type = LN_NF4, int64_t first = 0,
                           int64_t count = 100, int32_t dtype = LN_F32) {
    ln_quantized weight = *x.weight();
    change(weight);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dequantize(context, &weight, type, first, count, y, dtype));
    EXPECT_EQ("ln_dequantize: " + text, context.error());
  };
  const auto nothing = [](auto&) {};
  refuses("type is 1, must be LN_NF4 (3) or LN_FP4 (4)", nothing, LN_BF16);
  refuses("first is -1, must be at least 0", nothing, LN_NF4, -1);
  refuses("dst_dtype is 4, a 4-bit type; only weights are", nothing, LN_NF4, 0, 1, LN_FP4);
  if (!kCpu) return;  // the descriptor lies in device memory, of which the host reads nothing
  refuses("weight.elements is 0, must be at least 1", [](auto& w) { w.elements = 0; });
  refuses("weight.block is 65, must be a power of two from 32 to 4096", [](auto& w) { w.block = 65; });
  refuses("weight.codes is NULL", [](auto& w) { w.codes = nullptr; });
  refuses("weight.absmax is NULL", [](auto& w) { w.absmax = nullptr; });
  refuses("weight.nested_code is NULL", [](auto& w) { w.nested_code = nullptr; });
  refuses("weight.nested_block is 0, must be a power of two from 1 to 1073741824", [](auto& w) { w.nested_block = 0; });
  refuses("weight.offset is not finite", [](auto& w) { w.offset = NAN; });
  refuses("weight.absmax is not aligned to 4 bytes", [](auto& w) {
    w.nested_absmax = nullptr;
    w.absmax = reinterpret_cast<const char*>(w.nested_code) + 1;
  });
  refuses("elements 1 + 100 are outside the weight's 100", nothing, LN_NF4, 1);
  refuses("elements 2 + 9223372036854775807 are outside the weight's 100", nothing, LN_NF4, 2, INT64_MAX);
}

/// Every argument that points to a descriptor is looked into before anything is written.
TEST(Quantized, ProductsRefuseADescriptorOfAnotherShape) {
  if (!kCpu) GTEST_SKIP() << "descriptors lie in device memory, of which the host reads nothing";
  Context context;
  Random random(11);
  TestMatrix weight(6, 5, LN_NF4, random), x(4, 5, LN_F32, random), y(4, 6, LN_F32, random);
  weight.quantized()->elements = 31;
  const auto refused = [&](const std::string& text, int32_t status) {
    EXPECT_EQ(LN_INVALID_ARGUMENT, status);
    EXPECT_EQ(text, context.error());
  };
  ln_linear_fwd_args forward{};
  forward.x = x.floats();
  forward.weight = weight.data();
  forward.weight_dtype = LN_NF4;
  forward.y = y.floats();
  forward.rows = 4;
  forward.in = 5;
  forward.out = 6;
  refused("ln_linear_fwd: weight.elements is 31, must be 30", ln_linear_fwd(context, &forward));

  ln_linear_bwd_args backward{};
  backward.dy = y.floats();
  backward.dx = x.floats();
  backward.weight = weight.data();
  backward.weight_dtype = LN_NF4;
  backward.rows = 4;
  backward.in = 5;
  backward.out = 6;
  refused("ln_linear_bwd: weight.elements is 31, must be 30", ln_linear_bwd(context, &backward));

  ln_matmul_args matmul{};
  matmul.a = x.floats();
  matmul.b = weight.data();
  matmul.c = y.floats();
  matmul.m = 4;
  matmul.n = 6;
  matmul.k = matmul.lda = matmul.ldb = 5;
  matmul.ldc = 6;
  matmul.b_dtype = LN_NF4;
  matmul.transpose_b = 1;
  refused("ln_matmul: b.elements is 31, must be 30", ln_matmul(context, &matmul));
  matmul.ldb = 6;
  refused("ln_matmul: ldb is 6, must be at most 5", ln_matmul(context, &matmul));

  const int32_t ids[1] = {0}, offsets[2] = {0, 4};
  refused("ln_embedding_fwd: table.elements is 31, must be 30",
          ln_embedding_fwd(context, weight.data(), LN_NF4, ids, y.floats(), 1, 6, 5));
  const void* const weights[1] = {weight.data()};
  ln_grouped_linear_fwd_args grouped{};
  grouped.x = x.floats();
  grouped.offsets = offsets;
  grouped.weights = weights;
  grouped.weight_dtype = LN_NF4;
  grouped.y = y.floats();
  grouped.rows = 4;
  grouped.in = 5;
  grouped.out = 6;
  grouped.experts = 1;
  refused("ln_grouped_linear_fwd: weights[0].elements is 31, must be 30", ln_grouped_linear_fwd(context, &grouped));
  forward.weight = static_cast<const char*>(forward.weight) + 4;
  refused("ln_linear_fwd: weight is not aligned to 8 bytes", ln_linear_fwd(context, &forward));
}

}  // namespace
}  // namespace ln::test
