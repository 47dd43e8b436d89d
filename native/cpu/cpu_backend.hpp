// The CPU side of a context: a team of threads and the SIMD tier in use.
#pragma once

#include "../abi/backend.hpp"
#include "thread_pool.hpp"
#include "tiers.hpp"

namespace ln {

struct Backend {
  cpu::ThreadPool pool;
  cpu::Tier tier;

  Backend(int threads, cpu::Tier tier_in) : pool(threads), tier(tier_in) {}
};

namespace cpu {

inline ThreadPool& pool(const ln_context& context) { return context.backend->pool; }
inline Tier tier(const ln_context& context) { return context.backend->tier; }

/// Elements per task for memory-bound loops: large enough to hide the hand-over, small enough to share.
constexpr int64_t kElementsPerTask = 16384;

/// Rows per task so that a task has about kElementsPerTask elements.
inline int64_t rows_per_task(int64_t width) {
  return width >= kElementsPerTask ? 1 : kElementsPerTask / (width < 1 ? 1 : width);
}

}  // namespace cpu
}  // namespace ln
