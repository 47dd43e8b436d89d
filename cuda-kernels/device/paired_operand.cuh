// Two matrices of one shape as the right operand of a tile: what they give for the same element is in one thread, for
// what is made of both (the gate and the up product of gated MLPs).
#pragma once

#include "product_tile.cuh"

namespace ln::cuda {

/// The tile's lines by turns, eight of the first matrix and eight of the second, k inner: n8 blocks of the mma are of
/// one and the other (Bf16Tile::visit_pairs). All that a thread loads lies in one of the two, by turn_of().
template <bool kFourBits, Access kAccess>
struct PairedOperand : TileOperand<true, kFourBits, kAccess> {
  using One = TileOperand<true, kFourBits, kAccess>;

  /// 0 for a thread of the first matrix, 1 for one of the second.
  template <class Shape>
  static __device__ __forceinline__ int turn_of() {
    constexpr int kThreadsOfTurn = 8 * Shape::kK / kChunk;
    static_assert(Shape::kThreads % (2 * kThreadsOfTurn) == 0, "a thread's chunks are of one matrix");
    return static_cast<int>(threadIdx.x) / kThreadsOfTurn % 2;
  }

  /// The matrix of this thread, from first_line on. absent: zeros in its place, nothing of it is read.
  __device__ __forceinline__ PairedOperand(const Operand& own, int64_t first_line, bool absent) : One(own, first_line) {
    if (absent) this->lines = 0;
  }

  __device__ __forceinline__ int64_t at(int line, int64_t k) const { return One::at(own_line(line), k); }
  __device__ __forceinline__ int valid(int line, int64_t k, int64_t k_end) const {
    return One::valid(own_line(line), k, k_end);
  }

 private:
  static __device__ __forceinline__ int own_line(int line) { return line / 16 * 8 + line % 8; }
};

}  // namespace ln::cuda
