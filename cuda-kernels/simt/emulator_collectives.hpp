// Barriers, warp collectives, tensor-core and asynchronous-copy instructions and the intrinsics of CUDA C++ that
// kernels use, emulated. Same names as in CUDA and in nvcc.hpp.
#pragma once

#include "emulator.hpp"

namespace simt {

inline float bits_to_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
inline uint32_t float_to_bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}

inline float bf16_to_float(uint16_t bits) { return bits_to_float(static_cast<uint32_t>(bits) << 16); }
inline uint16_t float_to_bf16(float x) {
  const uint32_t bits = float_to_bits(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float f16_to_float(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float sign = (bits >> 15) != 0 ? -1.0f : 1.0f;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                               : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25));
}
inline uint16_t float_to_f16(float x) {
  const uint32_t bits = float_to_bits(x);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  if (std::isnan(x)) return 0x7fff;
  const float magnitude = std::abs(x);
  if (magnitude >= 65520.0f) return sign | 0x7c00;
  // The step between neighbours at this magnitude; nearbyint rounds to nearest even.
  const int exponent = std::max(magnitude == 0 ? -14 : std::ilogb(magnitude), -14);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  return static_cast<uint16_t>(sign | (((exponent + 14) << 10) + steps));
}
inline uint32_t pack_bf16(float low, float high) {
  return static_cast<uint32_t>(float_to_bf16(low)) | static_cast<uint32_t>(float_to_bf16(high)) << 16;
}

/// `source` of each lane: the number of the lane it reads.
template <class T>
T shuffle(T value, unsigned mask, int operation, int source) {
  struct Lane {
    T in, out;
    int source;
  } self{value, value, source};
  warp_meeting(operation, mask, &self, [](void** lanes, unsigned present) {
    for (int i = 0; i < 32; ++i) {
      if ((present >> i & 1) == 0) continue;
      Lane* lane = static_cast<Lane*>(lanes[i]);
      const int from = lane->source & 31;
      if ((present >> from & 1) == 0) die("a shuffle reads a lane that takes no part", i, from);
      lane->out = static_cast<Lane*>(lanes[from])->in;
    }
  });
  return self.out;
}

inline void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Lane {
    float* d;
    const uint32_t *a, *b;
  } self{d, a, b};
  warp_meeting(100, ~0u, &self, [](void** lanes, unsigned) {
    float left[16][16], right[16][8], sums[16][8] = {};
    const auto low = [](uint32_t pair) { return bf16_to_float(static_cast<uint16_t>(pair)); };
    const auto high = [](uint32_t pair) { return bf16_to_float(static_cast<uint16_t>(pair >> 16)); };
    for (int l = 0; l < 32; ++l) {
      const Lane* lane = static_cast<Lane*>(lanes[l]);
      const int group = l >> 2, pair = (l & 3) * 2;
      for (int half = 0; half < 4; ++half) {
        const int row = group + (half & 1) * 8, column = pair + (half >> 1) * 8;
        left[row][column] = low(lane->a[half]);
        left[row][column + 1] = high(lane->a[half]);
      }
      for (int half = 0; half < 2; ++half) {
        right[pair + half * 8][group] = low(lane->b[half]);
        right[pair + half * 8 + 1][group] = high(lane->b[half]);
      }
    }
    for (int i = 0; i < 16; ++i) {
      for (int k = 0; k < 16; ++k) {
        for (int j = 0; j < 8; ++j) sums[i][j] += left[i][k] * right[k][j];
      }
    }
    for (int l = 0; l < 32; ++l) {
      const Lane* lane = static_cast<Lane*>(lanes[l]);
      const int group = l >> 2, pair = (l & 3) * 2;
      for (int e = 0; e < 4; ++e) lane->d[e] += sums[group + (e >> 1) * 8][pair + (e & 1)];
    }
  });
}

template <bool transposed>
void load_matrices(uint32_t (&r)[4], const void* row) {
  if ((reinterpret_cast<uintptr_t>(row) & 15) != 0)
    die("a row of ldmatrix is not aligned to 16 bytes", current->linear);
  struct Lane {
    uint32_t* r;
    uint16_t row[8];
  } self;
  self.r = r;
  // The lane reads the row it names, so that sanitizers see the access.
  for (int i = 0; i < 8; ++i) self.row[i] = static_cast<const uint16_t*>(row)[i];
  warp_meeting(transposed ? 102 : 101, ~0u, &self, [](void** lanes, unsigned) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      for (int l = 0; l < 32; ++l) {
        const int major = l / 4, minor = l % 4 * 2;
        uint32_t pair = 0;
        for (int e = 0; e < 2; ++e) {
          const int from_row = transposed ? minor + e : major, from_column = transposed ? major : minor + e;
          const Lane* source = static_cast<Lane*>(lanes[matrix * 8 + from_row]);
          pair |= static_cast<uint32_t>(source->row[from_column]) << (16 * e);
        }
        static_cast<Lane*>(lanes[l])->r[matrix] = pair;
      }
    }
  });
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) { load_matrices<false>(r, row); }
inline void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row) { load_matrices<true>(r, row); }

/// The target holds NaN from the issue to the wait, so that reading too early shows in the numbers.
inline void cp_async16(void* shared, const void* global) {
  if (((reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) & 15) != 0) {
    die("cp.async is not aligned to 16 bytes", current->linear);
  }
  const uint4 value = *static_cast<const uint4*>(global);
  *static_cast<uint4*>(shared) = uint4{0xffbfffbfu, 0xffbfffbfu, 0xffbfffbfu, 0xffbfffbfu};
  Quiet quiet;
  current->open_copies.push_back({shared, value});
}
inline void cp_async_commit() {
  Quiet quiet;
  current->copy_groups.push_back(std::move(current->open_copies));
  current->open_copies.clear();
}
template <int N>
void cp_async_wait() {
  while (true) {
    Fiber::Copy copy;
    {
      Quiet quiet;
      auto& groups = current->copy_groups;
      if (groups.size() <= N) break;
      if (groups.front().empty()) {
        groups.pop_front();
        continue;
      }
      copy = groups.front().back();
      groups.front().pop_back();
    }
    *static_cast<uint4*>(copy.target) = copy.value;
  }
}

inline float exp2_fast(float x) { return std::exp2(x); }

}  // namespace simt

inline void __syncthreads() { simt::block_barrier(0, simt::Reduce::kNone); }
inline int __syncthreads_and(int value) { return simt::block_barrier(value, simt::Reduce::kAnd); }
inline int __syncthreads_or(int value) { return simt::block_barrier(value, simt::Reduce::kOr); }
inline int __syncthreads_count(int value) { return simt::block_barrier(value, simt::Reduce::kCount); }
inline void __syncwarp(unsigned mask = ~0u) {
  simt::warp_meeting(simt::kSyncWarp, mask, nullptr, [](void**, unsigned) {});
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source) {
  return simt::shuffle(value, mask, 2, source);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return simt::shuffle(value, mask, 3, static_cast<int>(simt::current->lane ^ static_cast<unsigned>(lanes)));
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  const unsigned lane = simt::current->lane;
  return simt::shuffle(value, mask, 4, static_cast<int>(lane + delta > 31 ? lane : lane + delta));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  const unsigned lane = simt::current->lane;
  return simt::shuffle(value, mask, 5, static_cast<int>(lane < delta ? lane : lane - delta));
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  struct Lane {
    int predicate;
    unsigned result;
  } self{predicate, 0};
  simt::warp_meeting(6, mask, &self, [](void** lanes, unsigned present) {
    unsigned result = 0;
    for (int i = 0; i < 32; ++i) {
      if ((present >> i & 1) != 0 && static_cast<Lane*>(lanes[i])->predicate != 0) result |= 1u << i;
    }
    for (int i = 0; i < 32; ++i) {
      if ((present >> i & 1) != 0) static_cast<Lane*>(lanes[i])->result = result;
    }
  });
  return self.result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
/// The lanes of the mask that hold the same value.
template <class T>
unsigned __match_any_sync(unsigned mask, T value) {
  struct Lane {
    T value;
    unsigned result;
  } self{value, 0};
  simt::warp_meeting(7, mask, &self, [](void** lanes, unsigned present) {
    for (int i = 0; i < 32; ++i) {
      if ((present >> i & 1) == 0) continue;
      unsigned same = 0;
      for (int j = 0; j < 32; ++j) {
        if ((present >> j & 1) != 0 && static_cast<Lane*>(lanes[j])->value == static_cast<Lane*>(lanes[i])->value) {
          same |= 1u << j;
        }
      }
      static_cast<Lane*>(lanes[i])->result = same;
    }
  });
  return self.result;
}

// Integer atomics only; a float atomic does not compile here.
inline int atomicAdd(int* at, int value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }
inline unsigned atomicAdd(unsigned* at, unsigned value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }
inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long value) {
  return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}
inline unsigned long long atomicMin(unsigned long long* at, unsigned long long value) {
  unsigned long long seen = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (value < seen && !__atomic_compare_exchange_n(at, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return seen;
}
inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

inline float __uint_as_float(unsigned bits) { return simt::bits_to_float(bits); }
inline unsigned __float_as_uint(float x) { return simt::float_to_bits(x); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b) >> 32);
}
template <class T>
T __ldg(const T* at) {
  return *at;
}
// The build turns contraction off, so these round where CUDA's do.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
