// The emulated CUDA kernels under test: what stands for a tier is a schedule of their threads.
#include "harness.hpp"

namespace ln::test {

const bool kCpu = false;

const char* simd_name(int32_t schedule) {
  static const char* const names[] = {"schedule 0", "schedule 1", "schedule 2"};
  return names[schedule];
}

ln_context_options options_of(int32_t schedule, int32_t, int32_t precision) {
  return {schedule, 0, LN_SIMD_AUTO, precision, LN_GEMM_OWN, 0, nullptr};
}

std::vector<int32_t> tiers() { return {0, 1, 2}; }

}  // namespace ln::test
