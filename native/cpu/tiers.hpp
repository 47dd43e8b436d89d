// SIMD tiers and how a family of kernels has one implementation per tier.
//
// A family F (norm, attention, ...) has
//   F.hpp            struct FKernels { function pointers };  LN_TIERS(FKernels, F_kernels)
//   F_reference.cpp  the plain scalar specification, namespace ln::cpu::reference
//   F_simd.cpp       the fast version on simd/simd.hpp, compiled once per tier with that tier's compiler flags,
//                    namespace ln::cpu::LN_TIER (CMake function ln_tiered)
//   F.cpp            splits the work over threads and calls F_kernels(tier(context))
//
// F_simd.cpp and simd.hpp must keep everything in namespace LN_TIER or static: an inline function shared between tiers
// could be emitted with AVX-512 instructions and then run on a machine without them. So no std:: templates there.
#pragma once

namespace ln::cpu {

enum class Tier { kReference = 1, kGeneric = 2, kAvx2 = 3, kAvx512 = 4, kNeon = 5 };

/// Best tier of this machine among those compiled in.
Tier best_tier();
/// Whether this machine can run the tier and it is compiled in.
bool supported(Tier tier);

}  // namespace ln::cpu

#if defined(LN_HAVE_X86_TIERS)
#define LN_TIERS_X86(Kernels, function) \
  namespace avx2 {                      \
  const Kernels& function();            \
  }                                     \
  namespace avx512 {                    \
  const Kernels& function();            \
  }
#define LN_TIER_CASES_X86(function) \
  case Tier::kAvx2:                 \
    return avx2::function();        \
  case Tier::kAvx512:               \
    return avx512::function();
#else
#define LN_TIERS_X86(Kernels, function)
#define LN_TIER_CASES_X86(function)
#endif

#if defined(LN_HAVE_NEON_TIER)
#define LN_TIERS_NEON(Kernels, function) \
  namespace neon {                       \
  const Kernels& function();             \
  }
#define LN_TIER_CASES_NEON(function) \
  case Tier::kNeon:                  \
    return neon::function();
#else
#define LN_TIERS_NEON(Kernels, function)
#define LN_TIER_CASES_NEON(function)
#endif

// Use inside namespace ln::cpu.
#define LN_TIERS(Kernels, function)           \
  namespace reference {                       \
  const Kernels& function();                  \
  }                                           \
  namespace generic {                         \
  const Kernels& function();                  \
  }                                           \
  LN_TIERS_X86(Kernels, function)             \
  LN_TIERS_NEON(Kernels, function)            \
  inline const Kernels& function(Tier tier) { \
    switch (tier) {                           \
      LN_TIER_CASES_X86(function)             \
      LN_TIER_CASES_NEON(function)            \
      case Tier::kReference:                  \
        return reference::function();         \
      default:                                \
        return generic::function();           \
    }                                         \
  }
