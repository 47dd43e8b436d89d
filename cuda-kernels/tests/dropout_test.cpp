// The generator on the device's side, and dropout against a plain loop. native/tests/dropout_test.cpp asks the CPU
// library's tiers for their generators, so it cannot be shared.
#include <utility>

#include "device/philox.cuh"
#include "harness.hpp"

namespace ln::test {
namespace {

struct KnownAnswer {
  uint64_t key, counter_low, counter_high;
  uint32_t words[4];
};

// philox4x32_10 of the known-answer vectors published with Random123 (Salmon et al. 2011).
constexpr KnownAnswer kKnownAnswers[] = {
    {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

TEST(CudaDropout, GeneratorGivesTheKnownAnswersOfPhilox) {
  for (const KnownAnswer& known : kKnownAnswers) {
    const cuda::RandomWords words = cuda::philox(known.key, known.counter_high, known.counter_low);
    expect_identical(words.at, known.words, 4, "philox");
  }
}

TEST(CudaDropout, EqualsAPlainLoopWhateverTheAlignment) {
  constexpr int64_t seed = 1234567890123, stream = -42;
  for (int32_t schedule : tiers()) {
    for (int64_t n : {0, 1, 3, 4, 5, 17, 31, 64, 65, 1000, 5001}) {
      for (float p : {0.0f, 0.1f, 0.5f, 0.99f, 1.0f}) {
        for (int32_t accumulate : {0, 1}) {
          for (int64_t shift : {0, 1}) {
            Random random(3);
            std::vector<float> x(static_cast<size_t>(n + 5)), y(x.size());
            for (float& value : x) value = random.uniform();
            for (float& value : y) value = random.uniform();
            std::vector<double> expected(static_cast<size_t>(n));
            for (int64_t i = 0; i < n; ++i) {
              const uint32_t word =
                  cuda::philox(static_cast<uint64_t>(seed), static_cast<uint64_t>(stream), static_cast<uint64_t>(i / 4))
                      .at[i % 4];
              const bool keep = word >= std::floor(static_cast<double>(p) * 4294967296.0);
              expected[i] = (keep ? x[i + shift] / (1 - static_cast<double>(p)) : 0) + (accumulate ? y[i + shift] : 0);
            }
            Context context(schedule);
            ASSERT_EQ(LN_OK, ln_dropout(context, x.data() + shift, y.data() + shift, n, p, seed, stream, accumulate))
                << context.error();
            expect_close(y.data() + shift, expected, n, 2e-7, std::string("dropout ") + simd_name(schedule));
            if (accumulate == 1) continue;
            ASSERT_EQ(LN_OK, ln_dropout(context, x.data() + shift, x.data() + shift, n, p, seed, stream, 0));
            expect_identical(x.data() + shift, y.data() + shift, n, "in place");
          }
        }
      }
    }
  }
}

TEST(CudaDropout, DiffersBySeedAndStreamAndDropsTheShareAskedFor) {
  constexpr int64_t n = 70001;
  const std::vector<float> x(n, 1.0f);
  std::vector<float> one(n), other(n);
  Context context(0);
  ASSERT_EQ(LN_OK, ln_dropout(context, x.data(), one.data(), n, 0.3f, 1, 2, 0));
  for (auto [seed, stream] : {std::pair<int64_t, int64_t>{2, 2}, {1, 3}, {1 + (1ll << 32), 2}, {1, 2 + (1ll << 32)}}) {
    ASSERT_EQ(LN_OK, ln_dropout(context, x.data(), other.data(), n, 0.3f, seed, stream, 0));
    int64_t different = 0, dropped = 0;
    for (int64_t i = 0; i < n; ++i) {
      different += one[i] != other[i];
      dropped += other[i] == 0;
    }
    // Shares of independent masks: 2 * 0.3 * 0.7 and 0.3; five standard deviations are 0.0093 and 0.0087.
    EXPECT_NEAR(0.42, static_cast<double>(different) / n, 0.0093);
    EXPECT_NEAR(0.3, static_cast<double>(dropped) / n, 0.0087);
  }
}

TEST(CudaDropout, DropsNaNToo) {
  for (int32_t schedule : tiers()) {
    std::vector<float> x(37, NAN);
    ASSERT_EQ(LN_OK, ln_dropout(Context(schedule), x.data(), x.data(), 37, 1.0f, 1, 1, 0));
    for (float value : x) EXPECT_EQ(0, value) << simd_name(schedule);
  }
}

}  // namespace
}  // namespace ln::test
