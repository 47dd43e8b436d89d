// The CPU library under test.
#include "harness.hpp"

namespace ln::test {

const bool kCpu = true;

// An emulated processor takes ten times as long; the tiers that every processor has are tested without.
#if defined(LN_TEST_EMULATED_PROCESSOR)
constexpr bool kOthersAreTestedElsewhere = true;
#else
constexpr bool kOthersAreTestedElsewhere = false;
#endif

const char* simd_name(int32_t tier) {
  static const char* const names[] = {"auto", "reference", "generic", "avx2", "avx512", "neon"};
  return names[tier];
}

ln_context_options options_of(int32_t tier, int32_t threads, int32_t precision) {
  return {-1, threads, tier, precision, LN_GEMM_AUTO, 0, nullptr};
}

std::vector<int32_t> tiers() {
  std::vector<int32_t> found;
  for (int32_t simd : {LN_SIMD_REFERENCE, LN_SIMD_GENERIC, LN_SIMD_AVX2, LN_SIMD_AVX512, LN_SIMD_NEON}) {
    if (kOthersAreTestedElsewhere && simd < LN_SIMD_NEON) continue;
    ln_context* context = nullptr;
    const ln_context_options options = options_of(simd, 1);
    if (ln_context_create(&options, &context) == LN_OK) found.push_back(simd);
    ln_context_destroy(context);
  }
  return found;
}

}  // namespace ln::test
