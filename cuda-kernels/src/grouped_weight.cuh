// The kinds of weights of the grouped linear layer's wide products, and the tiles they have in bfloat16.
#pragma once

#include "grouped_linear.hpp"
#include "product_tile.cuh"
#include "quantized.cuh"

namespace ln::cuda {

/// What the weight is: of any dtype of whole bytes, bfloat16 (by cp.async), or of 4 bits.
enum GroupedWeight { kWeightAny, kWeightBf16, kWeightFourBits };

/// An expert's weight of so many elements that cannot be read.
template <GroupedWeight kWeight>
__device__ __forceinline__ bool lacks_weight(const void* weight, int64_t elements) {
  return weight == nullptr || (kWeight == kWeightFourBits && quantized_view(weight, elements).elements == 0);
}

/// By rows. A weight is decoded once per tile: 16 and 32 rows are bound by its bytes.
template <bool kRightKInner>
struct GroupedBf16Tiles {
  using Of16 = Bf16Tile<TileShape<16, 128, 32, 16, 32, 2, 4>, true, kRightKInner>;
  using Of32 = Bf16Tile<TileShape<32, 128, 32, 32, 32, 2, 3>, true, kRightKInner>;
  using Of64 = Bf16Tile<TileShape<64, 128, 32, 32, 64, 2, 2>, true, kRightKInner>;
  using Of128 = Bf16Tile<TileShape<128, 128, 32, 64, 64, 3, 2>, true, kRightKInner>;
  using Of128InEightWarps = Bf16Tile<TileShape<128, 128, 32, 64, 32, 4, 1>, true, kRightKInner>;  // fewer registers
};

}  // namespace ln::cuda
