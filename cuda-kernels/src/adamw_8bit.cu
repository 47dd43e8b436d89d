// AdamW with moments in 8 bits. One warp per block of 256 elements, eight in each lane: decoded by a table, updated,
// largest magnitudes over the warp, encoded by one search table and one comparison with the middle between two codes
// (native/abi/dynamic_codes.hpp). Blocks of threads keep the tables in shared memory and walk over many blocks of
// elements. Bound by bytes: 16 per parameter and 16 per block of 256; six reads of shared memory per parameter stay
// below that.
#include <algorithm>

#include "../../native/abi/dynamic_codes.hpp"
#include "adamw_step.cuh"
#include "packs.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kMomentBlock = 256;
constexpr int kElements = kMomentBlock / kWarp;  // per lane
constexpr int64_t kMostGroups = 2048;            // of threads: enough for any device, few enough to load tables rarely
constexpr float kSmallestScale = 1e-38f;

SIMT_CONSTANT DynamicCodes<129> kSigned = kSignedCodes;
SIMT_CONSTANT DynamicCodes<256> kUnsigned = kUnsignedCodes;

struct Tables {
  float signed_value[256];  // by code
  float unsigned_value[256];
  float signed_middle[129];
  float unsigned_middle[256];
  uint8_t signed_start[kDynamicCells];
  uint8_t unsigned_start[kDynamicCells];

  __device__ __forceinline__ void load(int thread) {
    for (int i = thread; i < 256; i += kThreads) {
      const int k = i - kSignedZero;
      signed_value[i] = k >= 0 ? kSigned.value[k] : -kSigned.value[-k];
      unsigned_value[i] = kUnsigned.value[i];
      unsigned_middle[i] = kUnsigned.middle[i];
      if (i < 129) signed_middle[i] = kSigned.middle[i];
    }
    for (int i = thread; i < kDynamicCells; i += kThreads) {
      signed_start[i] = kSigned.start[i];
      unsigned_start[i] = kUnsigned.start[i];
    }
  }

  /// The number of the magnitude nearest to r, from 0 to 1 (a little more counts as 1); of two as near the one whose
  /// code, `first` + the number, is even.
  __device__ __forceinline__ static int nearest(const uint8_t* start, const float* middles, int first, float r) {
    const float inside = r < 1 ? r : 1.0f;
    const int cell = static_cast<int>(__float_as_uint(inside) >> 16) - kFirstDynamicCell;
    const int k = start[cell < 0 ? 0 : cell];
    const float middle = middles[k];
    return inside > middle || (inside == middle && (first + k) % 2 != 0) ? k + 1 : k;
  }

  __device__ __forceinline__ uint32_t signed_code(float r) const {
    const int k = nearest(signed_start, signed_middle, kSignedZero, fabsf(r));
    // Below 0 never the code of 0, and there is no -1.
    const int below = k < 1 ? 1 : k > kSignedZero ? kSignedZero : k;
    return static_cast<uint32_t>(r < 0 ? kSignedZero - below : kSignedZero + k);
  }
  __device__ __forceinline__ uint32_t unsigned_code(float r) const {
    return static_cast<uint32_t>(nearest(unsigned_start, unsigned_middle, 0, r));
  }
};

/// Codes i to i + kWidth - 1.
template <int kWidth>
__device__ __forceinline__ uint32_t load_codes(const uint8_t* codes, int64_t i) {
  if constexpr (kWidth == 1) {
    return codes[i];
  } else {
    return *reinterpret_cast<const uint32_t*>(codes + i);
  }
}
template <int kWidth>
__device__ __forceinline__ void store_codes(uint8_t* codes, int64_t i, uint32_t bytes) {
  if constexpr (kWidth == 1) {
    codes[i] = static_cast<uint8_t>(bytes);
  } else {
    *reinterpret_cast<uint32_t*>(codes + i) = bytes;
  }
}

/// The elements of a lane: kElements / kWidth packs, 32 packs apart. With packs n is a multiple of four.
template <int kWidth>
__global__ void __launch_bounds__(kThreads) step_blocks(ln_adamw_8bit_args args, AdamwScalars scalars) {
  __shared__ Tables tables;
  float scale;
  if (!adamw_scale(scalars, scale)) return;  // all threads alike
  constexpr int kPacks = kElements / kWidth;
  tables.load(static_cast<int>(threadIdx.x));
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t blocks = (args.n + kMomentBlock - 1) / kMomentBlock;
  const int64_t step = int64_t{gridDim.x} * kWarps;
  for (int64_t b = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp; b < blocks; b += step) {
    const int64_t first = b * kMomentBlock + lane * kWidth;
    const float first_absmax = args.first_absmax[b], second_absmax = args.second_absmax[b];
    float m[kElements], v[kElements], largest_m = 0, largest_v = 0;
#pragma unroll
    for (int q = 0; q < kPacks; ++q) {
      const int64_t i = first + q * kWarp * kWidth;
      if (i >= args.n) continue;
      Pack<kWidth> p = load_pack<kWidth>(args.parameters, i);
      const Pack<kWidth> g = load_pack<kWidth>(args.gradients, i);
      const uint32_t m_codes = load_codes<kWidth>(args.first_moments, i);
      const uint32_t v_codes = load_codes<kWidth>(args.second_moments, i);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        float& m_of = m[q * kWidth + j];
        float& v_of = v[q * kWidth + j];
        m_of = tables.signed_value[m_codes >> (8 * j) & 255] * first_absmax;
        v_of = tables.unsigned_value[v_codes >> (8 * j) & 255] * second_absmax;
        adamw_step(p.at[j], m_of, v_of, g.at[j] * scale, scalars);
        largest_m = fmaxf(largest_m, fabsf(m_of));
        largest_v = fmaxf(largest_v, v_of);
      }
      store_pack<kWidth>(args.parameters, i, p);
    }
    largest_m = warp_max(largest_m);
    largest_v = warp_max(largest_v);
    const float scale_m = 1 / fmaxf(largest_m, kSmallestScale), scale_v = 1 / fmaxf(largest_v, kSmallestScale);
#pragma unroll
    for (int q = 0; q < kPacks; ++q) {
      const int64_t i = first + q * kWarp * kWidth;
      if (i >= args.n) continue;
      uint32_t m_codes = 0, v_codes = 0;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        m_codes |= tables.signed_code(m[q * kWidth + j] * scale_m) << (8 * j);
        v_codes |= tables.unsigned_code(v[q * kWidth + j] * scale_v) << (8 * j);
      }
      store_codes<kWidth>(args.first_moments, i, m_codes);
      store_codes<kWidth>(args.second_moments, i, v_codes);
    }
    __syncwarp();  // every lane has read the scales
    if (lane == 0) {
      args.first_absmax[b] = largest_m;
      args.second_absmax[b] = largest_v;
    }
  }
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void adamw_8bit(ln_context& context, const ln_adamw_8bit_args& args) {
  using namespace cuda;
  const bool in_packs =
      args.n % 4 == 0 && aligned_to_packs({args.parameters, args.gradients}) &&
      (reinterpret_cast<uintptr_t>(args.first_moments) | reinterpret_cast<uintptr_t>(args.second_moments)) % 4 == 0;
  launch(context, "ln_adamw_8bit", in_packs ? step_blocks<4> : step_blocks<1>,
         blocks_for(args.n, kMomentBlock * kWarps, kMostGroups), kThreads, 0, args, adamw_scalars(args));
}

}  // namespace ln::backend
