#include "dropout.hpp"

#include <utility>

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

const cpu::DropoutKernels& kernels(int32_t simd) { return cpu::dropout_kernels(static_cast<cpu::Tier>(simd)); }

TEST(Dropout, GeneratorGivesTheKnownAnswersOfPhilox) {
  for (int32_t simd : tiers()) {
    for (const KnownAnswer& known : kKnownAnswers) {
      uint32_t words[4];
      kernels(simd).random_words(known.key, known.counter_high, known.counter_low, 1, words);
      expect_identical(words, known.words, 4, std::string("philox ") + simd_name(simd));
    }
  }
}

TEST(Dropout, GeneratorIsTheSameOnEveryTierAlsoWhereTheCounterCarries) {
  for (uint64_t block : {uint64_t{0}, uint64_t{5}, uint64_t{0xfffffffa}, uint64_t{0x12fffffff7}, ~uint64_t{6}}) {
    for (int64_t blocks : {1, 2, 7, 16, 33}) {
      Guarded<uint32_t> expected(blocks * 4);
      kernels(LN_SIMD_REFERENCE).random_words(0x123456789abcdef0, 77, block, blocks, expected);
      for (int32_t simd : tiers()) {
        Guarded<uint32_t> words(blocks * 4);
        kernels(simd).random_words(0x123456789abcdef0, 77, block, blocks, words);
        expect_identical(words.data(), expected.data(), blocks * 4, simd_name(simd));
      }
    }
  }
}

TEST(Dropout, KeepsByTheRandomWordAndScales) {
  constexpr int64_t seed = 1234567890123, stream = -42;
  for (int32_t simd : tiers()) {
    for (int64_t n : {0, 1, 3, 4, 5, 17, 31, 63, 64, 65, 1000, 16384, 50001}) {
      for (float p : {0.0f, 0.1f, 0.5f, 0.99f, 1.0f}) {
        for (int32_t accumulate : {0, 1}) {
          Random random(3);
          Guarded<float> x(n, random), y(n, random);
          std::vector<uint32_t> words(static_cast<size_t>(n + 4));
          kernels(LN_SIMD_REFERENCE).random_words(seed, static_cast<uint64_t>(stream), 0, n / 4 + 1, words.data());
          std::vector<double> expected(static_cast<size_t>(n));
          for (int64_t i = 0; i < n; ++i) {
            const bool keep = words[i] >= std::floor(static_cast<double>(p) * 4294967296.0);
            expected[i] = (keep ? x[i] / (1 - static_cast<double>(p)) : 0) + (accumulate ? y[i] : 0);
          }
          Context context(simd, 2);
          ASSERT_EQ(LN_OK, ln_dropout(context, x, y, n, p, seed, stream, accumulate)) << context.error();
          expect_close(y, expected, n, 2e-7, std::string("dropout ") + simd_name(simd));
          // In place.
          if (accumulate == 1) continue;
          ASSERT_EQ(LN_OK, ln_dropout(context, x, x, n, p, seed, stream, 0)) << context.error();
          expect_identical(x.data(), y.data(), n, "dropout in place");
        }
      }
    }
  }
}

TEST(Dropout, IsTheSameForEveryThreadCountAndDiffersBySeedAndStream) {
  constexpr int64_t n = 70001;
  Random random(9);
  Guarded<float> x(n, random);
  for (int32_t simd : tiers()) {
    Guarded<float> one(n), other(n);
    ASSERT_EQ(LN_OK, ln_dropout(Context(simd, 1), x, one, n, 0.3f, 1, 2, 0));
    for (int threads : {2, 3}) {
      ASSERT_EQ(LN_OK, ln_dropout(Context(simd, threads), x, other, n, 0.3f, 1, 2, 0));
      expect_identical(other.data(), one.data(), n, simd_name(simd));
    }
    for (auto [seed, stream] :
         {std::pair<int64_t, int64_t>{2, 2}, {1, 3}, {1 + (1ll << 32), 2}, {1, 2 + (1ll << 32)}}) {
      ASSERT_EQ(LN_OK, ln_dropout(Context(simd, 1), x, other, n, 0.3f, seed, stream, 0));
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
}

TEST(Dropout, DropsNaNToo) {
  for (int32_t simd : tiers()) {
    std::vector<float> x(37, NAN);
    ASSERT_EQ(LN_OK, ln_dropout(Context(simd), x.data(), x.data(), 37, 1.0f, 1, 1, 0));
    for (float value : x) EXPECT_EQ(0, value) << simd_name(simd);
  }
}

TEST(Dropout, RefusesBadArguments) {
  Context context;
  float x = 0;
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dropout(context, &x, &x, 1, 1.5f, 0, 0, 0));
  EXPECT_EQ("ln_dropout: p is 1.500000, must be from 0 to 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dropout(context, &x, &x, 1, NAN, 0, 0, 0));
  EXPECT_EQ("ln_dropout: p is nan, must be from 0 to 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dropout(context, &x, &x, -1, 0.5f, 0, 0, 0));
  EXPECT_EQ("ln_dropout: n is -1, must be at least 0", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dropout(context, &x, nullptr, 1, 0.5f, 0, 0, 0));
  EXPECT_EQ("ln_dropout: y is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_dropout(context, &x, &x, 1, 0.5f, 0, 0, 2));
  EXPECT_EQ("ln_dropout: accumulate is 2, must be 0 or 1", context.error());
}

}  // namespace
}  // namespace ln::test
