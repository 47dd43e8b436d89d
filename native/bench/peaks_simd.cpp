// The probes of one SIMD tier; compiled once per tier like the kernels.
#include "peaks.hpp"
#include "simd/simd.hpp"

namespace ln::cpu::LN_TIER {
namespace {

// Latency times throughput of today's FMA units is 8 to 10 chains; 12 and two constants fit into 16 registers.
constexpr int kChains = 12;

float fma_chains(int64_t rounds) {
  vf chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = broadcast(1.0f + (float)i);
  // They converge to 1: no value overflows or becomes denormal. What the compiler cannot see it cannot simplify.
  float factor = 0.5f, term = 0.5f;
  __asm__ volatile("" : "+m"(factor), "+m"(term));
  const vf a = broadcast(factor), b = broadcast(term);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) chain[i] = fma(chain[i], a, b);
  }
  vf total = {};
  for (int i = 0; i < kChains; ++i) total += chain[i];
  return sum(total);
}

float read(const float* x, int64_t n) {
  constexpr int kSums = 8;
  vf part[kSums] = {};
  for (int64_t i = 0; i + kSums * kWidth <= n; i += kSums * kWidth) {
#pragma GCC unroll 8
    for (int j = 0; j < kSums; ++j) part[j] += load(x + i + j * kWidth);
  }
  vf total = {};
  for (int j = 0; j < kSums; ++j) total += part[j];
  return sum(total);
}

void copy(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i + kWidth <= n; i += kWidth) store(y + i, load(x + i));
}

void triad(const float* x, const float* y, float* z, int64_t n) {
  const vf half = broadcast(0.5f);
  for (int64_t i = 0; i + kWidth <= n; i += kWidth) store(z + i, fma(load(y + i), half, load(x + i)));
}

}  // namespace

const PeakProbes& peak_probes() {
  static const PeakProbes probes = {2 * kChains * kWidth, fma_chains, read, copy, triad};
  return probes;
}

}  // namespace ln::cpu::LN_TIER
