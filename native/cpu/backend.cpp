// Contexts of the CPU library: thread count and SIMD tier.
#include <cstdlib>
#include <cstring>

#include "cpu_backend.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace ln {

namespace {

using cpu::Tier;

struct TierName {
  const char* name;
  Tier tier;
};

constexpr TierName kTierNames[] = {{"reference", Tier::kReference},
                                   {"generic", Tier::kGeneric},
                                   {"avx2", Tier::kAvx2},
                                   {"avx512", Tier::kAvx512},
                                   {"neon", Tier::kNeon}};

int available_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    const int count = CPU_COUNT(&set);
    if (count > 0) return count;
  }
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int>(count);
}

Tier choose_tier(int32_t simd, const Checker& check) {
  if (simd != LN_SIMD_AUTO) {
    const Tier tier = static_cast<Tier>(simd);
    if (!cpu::supported(tier))
      check.fail(LN_UNSUPPORTED, "this machine or build has no SIMD tier " + std::to_string(simd));
    return tier;
  }
  const char* forced = std::getenv("LORA_NATIVE_SIMD");
  if (forced == nullptr || *forced == '\0') return cpu::best_tier();
  for (const TierName& known : kTierNames) {
    if (std::strcmp(known.name, forced) != 0) continue;
    if (!cpu::supported(known.tier))
      check.fail(LN_UNSUPPORTED, std::string("LORA_NATIVE_SIMD is ") + forced + ", which this machine or build lacks");
    return known.tier;
  }
  check.fail(LN_INVALID_ARGUMENT,
             std::string("LORA_NATIVE_SIMD is '") + forced + "', not one of reference, generic, avx2, avx512, neon");
}

}  // namespace

namespace cpu {

bool supported(Tier tier) {
  switch (tier) {
    case Tier::kReference:
    case Tier::kGeneric:
      return true;
#if defined(LN_HAVE_X86_TIERS)
    case Tier::kAvx2:
      // Every processor with AVX2 has F16C, for which older Clangs have no name here.
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Tier::kAvx512:
      return supported(Tier::kAvx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
#if defined(LN_HAVE_NEON_TIER)
    case Tier::kNeon:
      return true;
#endif
    default:
      return false;
  }
}

Tier best_tier() {
  for (Tier tier : {Tier::kAvx512, Tier::kAvx2, Tier::kNeon}) {
    if (supported(tier)) return tier;
  }
  return Tier::kGeneric;
}

}  // namespace cpu

namespace backend {

void create(ln_context& context, const ln_context_options& options, const Checker& check) {
  if (options.device != -1)
    check.fail(LN_INVALID_ARGUMENT, "device is " + std::to_string(options.device) + ", the CPU library takes -1");
  if (options.precision == LN_PRECISION_BF16)
    check.fail(LN_UNSUPPORTED, "precision is LN_PRECISION_BF16, the CPU library multiplies in float32");
  if (options.gemm == LN_GEMM_CUBLAS) check.fail(LN_UNSUPPORTED, "gemm is LN_GEMM_CUBLAS, the CPU library has its own");
  const Tier tier = choose_tier(options.simd, check);
  context.backend = new Backend(options.threads == 0 ? available_processors() : options.threads, tier);
}

void destroy(ln_context& context) noexcept { delete context.backend; }

std::string unfinished(const ln_context&) { return {}; }

int64_t query(const ln_context& context, int32_t what, const Checker& check) {
  switch (what) {
    case LN_QUERY_SIMD:
      return static_cast<int64_t>(cpu::tier(context));
    case LN_QUERY_THREADS:
      return cpu::pool(context).threads();
    case LN_QUERY_SIMD_BEST:
      return static_cast<int64_t>(cpu::best_tier());
    case LN_QUERY_GEMM:
      return LN_GEMM_OWN;
    case LN_QUERY_PRECISION:
      return LN_PRECISION_F32;
    default:
      check.fail(LN_INVALID_ARGUMENT, "what is " + std::to_string(what) + ", not an ln_query_what");
  }
}

}  // namespace backend
}  // namespace ln
