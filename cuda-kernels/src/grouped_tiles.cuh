// What the kernels of the grouped linear layer share: product tiles, and an expert's rows and adapter, looked up on the
// device.
#pragma once

#include "grouped_linear.hpp"
#include "product_tile.cuh"
#include "product_tile_f32.cuh"

namespace ln::cuda {

template <bool kL, bool kR>
struct GroupedF32Tile : F32Tile {
  static constexpr bool kLeftKInner = kL, kRightKInner = kR;
};

/// Added to the results of an expert that the CPU library would refuse.
__device__ __forceinline__ float poison(bool wrong) { return wrong ? __uint_as_float(0x7fffffffu) : 0.0f; }

struct GroupedAdapter {
  const float *a, *b;
  int64_t rank;
  float scale;
  bool wrong;
};

__device__ __forceinline__ GroupedAdapter grouped_adapter(const GroupedLayer& layer, int32_t e) {
  GroupedAdapter adapter = {nullptr, nullptr, 0, 0, false};
  if (layer.max_rank == 0 || layer.ranks[e] == 0) return adapter;
  adapter = {layer.lora_a[e], layer.lora_b[e], layer.ranks[e], layer.scales[e], false};
  if (adapter.rank < 0 || adapter.rank > layer.max_rank || adapter.a == nullptr || adapter.b == nullptr) {
    adapter.rank = 0;
    adapter.wrong = true;
  }
  return adapter;
}

/// Rows of expert e, whatever the offsets are.
struct GroupedRange {
  int64_t begin, end;
};

__device__ __forceinline__ GroupedRange grouped_range(const GroupedLayer& layer, int32_t e) {
  const int64_t first = layer.offsets[e], last = layer.offsets[e + 1];
  const int64_t begin = first < 0 ? 0 : first > layer.rows ? layer.rows : first;
  return {begin, last < begin ? begin : last > layer.rows ? layer.rows : last};
}

}  // namespace ln::cuda
