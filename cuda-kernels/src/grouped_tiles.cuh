// What the kernels of the grouped linear layer share: product tiles, and an expert's rows and adapter, looked up on the
// device.
#pragma once

#include "gathered_operand.cuh"
#include "grouped_linear.hpp"
#include "product_tile.cuh"
#include "product_tile_f32.cuh"

namespace ln::cuda {

template <bool kL, bool kR>
struct GroupedF32Tile : F32Tile {
  static constexpr bool kLeftKInner = kL, kRightKInner = kR;
};

/// whole_chunks(), of operands that only the device knows.
__device__ __forceinline__ bool has_whole_chunks(const Operand& operand, int64_t k) {
  if (operand.dtype == LN_NF4 || operand.dtype == LN_FP4) return operand.ld % kChunk == 0;
  const uint64_t bytes = static_cast<uint64_t>(operand.ld) * (operand.dtype == LN_F32 ? 4 : 2);
  return ((reinterpret_cast<uint64_t>(operand.data) | bytes) & 15) == 0 &&
         (operand.k_inner != 0 ? k : operand.lines) % kChunk == 0;
}

__device__ __forceinline__ bool has_whole_chunks(const GatheredOperand& operand, int64_t k) {
  return has_whole_chunks(operand.matrix, k);
}

/// Adds the product of two operands, from their first lines on, to a tile's sums. kLeft and kRight: access where there
/// are whole chunks; Access::kAsync sees for itself whether there are. kLeftAlone: also by the left operand where the
/// right one has none; that one is thin then.
template <bool kFourBits, Access kLeft, Access kRight, bool kLeftAlone, class Tile, class Left>
__device__ __forceinline__ void add_product(Tile& tile, typename Tile::Shared& shared, const Left& left,
                                            int64_t left_line, const Operand& right, int64_t right_line,
                                            int64_t k_begin, int64_t k_end) {
  constexpr bool kL = Tile::kLeftKInner, kR = Tile::kRightKInner;
  if constexpr (kLeft != Access::kAny) {
    if (kLeft == Access::kAsync || has_whole_chunks(left, k_end)) {
      if (kRight == Access::kAsync || has_whole_chunks(right, k_end)) {
        return tile.run(shared, tile_operand<kL, false, kLeft>(left, left_line),
                        TileOperand<kR, kFourBits, kRight>(right, right_line), k_begin, k_end);
      }
      if constexpr (kLeftAlone || kLeft == Access::kAsync) {
        return tile.run(shared, tile_operand<kL, false, kLeft>(left, left_line),
                        TileOperand<kR, kFourBits, Access::kAny>(right, right_line), k_begin, k_end);
      }
    }
  }
  if constexpr (kLeft != Access::kAsync) {
    tile.run(shared, tile_operand<kL, false, Access::kAny>(left, left_line),
             TileOperand<kR, kFourBits, Access::kAny>(right, right_line), k_begin, k_end);
  }
}

/// The same for a short k.
template <class Tile>
__device__ __forceinline__ void add_short_product(Tile& tile, typename Tile::Shared& shared, const Operand& left,
                                                  int64_t left_line, const Operand& right, int64_t right_line,
                                                  int64_t k) {
  constexpr bool kL = Tile::kLeftKInner, kR = Tile::kRightKInner;
  if (has_whole_chunks(left, k) && has_whole_chunks(right, k)) {
    tile.run_short(shared, TileOperand<kL, false, Access::kWhole>(left, left_line),
                   TileOperand<kR, false, Access::kWhole>(right, right_line), 0, k);
  } else {
    tile.run_short(shared, TileOperand<kL, false, Access::kAny>(left, left_line),
                   TileOperand<kR, false, Access::kAny>(right, right_line), 0, k);
  }
}

/// Added to the results of an expert that the CPU library would refuse.
__device__ __forceinline__ float poison(bool wrong) { return wrong ? __uint_as_float(0x7fffffffu) : 0.0f; }

struct GroupedAdapter {
  const float *a, *b;
  int64_t rank;
  float scale;
  bool wrong;
};

__device__ __forceinline__ GroupedAdapter grouped_adapter(GroupedLayer layer, int32_t e) {
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
