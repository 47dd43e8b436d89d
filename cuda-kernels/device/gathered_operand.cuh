// A left operand whose rows lie anywhere in a matrix and are found through a table: what tokens have, read as the rows
// that their experts see.
#pragma once

#include "product_tile.cuh"

namespace ln::cuda {

/// Row r is line line_of[r] of `matrix`, where k or, for a product that sums over rows, the lines are inner.
struct GatheredOperand {
  Operand matrix;  // lines: up to which row there are some, with k inner
  const int32_t* line_of;
  int64_t rows;  // in line_of
};

template <bool kKInner, Access kAccess>
struct GatheredTileOperand : TileOperand<kKInner, false, kAccess> {
  using One = TileOperand<kKInner, false, kAccess>;

  const int32_t* line_of;  // with k inner, from the tile's first row on
  int64_t rows;

  __device__ __forceinline__ GatheredTileOperand(const GatheredOperand& operand, int64_t first)
      : One(from_start(operand.matrix, first), kKInner ? 0 : first),
        line_of(operand.line_of + (kKInner ? first : 0)),
        rows(operand.rows) {}

  __device__ __forceinline__ int64_t at(int line, int64_t k) const {
    if (kKInner) return line < this->lines ? __ldg(line_of + line) * this->ld + k : 0;
    return k < rows ? __ldg(line_of + k) * this->ld + line : 0;
  }

 private:
  static __device__ __forceinline__ Operand from_start(Operand matrix, int64_t first) {
    if (kKInner) matrix.lines -= first;
    return matrix;
  }
};

template <bool kKInner, bool kFourBits, Access kAccess>
__device__ __forceinline__ TileOperand<kKInner, kFourBits, kAccess> tile_operand(const Operand& operand,
                                                                                 int64_t first) {
  return TileOperand<kKInner, kFourBits, kAccess>(operand, first);
}

template <bool kKInner, bool kFourBits, Access kAccess>
__device__ __forceinline__ GatheredTileOperand<kKInner, kAccess> tile_operand(const GatheredOperand& operand,
                                                                              int64_t first) {
  static_assert(!kFourBits, "activations have whole bytes");
  return GatheredTileOperand<kKInner, kAccess>(operand, first);
}

}  // namespace ln::cuda
