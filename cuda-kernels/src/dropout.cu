// Inverted dropout. A thread has one Philox block: four elements, whatever the alignment. Bound by bytes (8 per
// element, 12 with accumulate); the 40 multiplications per four elements hide behind them.
#include "packs.cuh"
#include "philox.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

struct Mask {
  uint64_t seed, stream, threshold;  // keep where the word is at least the threshold, which may be 2^32
  float scale;
};

template <int kWidth>
__device__ __forceinline__ void drop(const float* x, float* y, int64_t i, const Mask& mask, const uint32_t* words,
                                     bool accumulate) {
  Pack<kWidth> value = load_pack<kWidth>(x, i);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) value.at[j] = words[j] >= mask.threshold ? value.at[j] * mask.scale : 0.0f;
  if (accumulate) {
    const Pack<kWidth> before = load_pack<kWidth>(y, i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) value.at[j] = __fadd_rn(before.at[j], value.at[j]);
  }
  store_pack<kWidth>(y, i, value);
}

template <bool kInPacks, bool kAccumulate>
__global__ void __launch_bounds__(kEachThreads) dropout_kernel(const float* x, float* y, int64_t n, Mask mask) {
  const int64_t thread = int64_t{blockIdx.x} * kEachThreads + threadIdx.x;
  const int64_t blocks = (n + 3) / 4;
  for (int64_t block = thread; block < blocks; block += int64_t{gridDim.x} * kEachThreads) {
    const RandomWords words = philox(mask.seed, mask.stream, static_cast<uint64_t>(block));
    const int64_t first = block * 4;
    if (kInPacks && first + 4 <= n) {
      drop<4>(x, y, first, mask, words.at, kAccumulate);
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (first + j < n) drop<1>(x, y, first + j, mask, words.at + j, kAccumulate);
      }
    }
  }
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void dropout(ln_context& context, const float* x, float* y, int64_t n, float p, int64_t seed, int64_t stream,
             bool accumulate) {
  using namespace cuda;
  const double share = static_cast<double>(p);
  const Mask mask = {static_cast<uint64_t>(seed), static_cast<uint64_t>(stream), static_cast<uint64_t>(share * 0x1p32),
                     static_cast<float>(share == 1 ? 1 : 1 / (1 - share))};
  const bool in_packs = aligned_to_packs({x, y});
  const auto kernel = accumulate ? (in_packs ? dropout_kernel<true, true> : dropout_kernel<false, true>)
                                 : (in_packs ? dropout_kernel<true, false> : dropout_kernel<false, false>);
  launch(context, "ln_dropout", kernel, blocks_for(ceil_div<int64_t>(n, 4), kEachThreads), kEachThreads, 0, x, y, n,
         mask);
}

}  // namespace ln::backend
