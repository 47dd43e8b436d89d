// Tiles of rows in bfloat16 in shared memory, and the two products of attention on tensor cores. Both take a warp's 16
// rows of the left side: scores = rows . rows^T over the head, and sums += weights . rows over the streamed side, where
// the weights come straight from the registers that scores left them in.
//
// Registers of a warp's 16 rows and 8 columns: lane l holds row l / 4, columns l % 4 * 2 and the next, in elements 0
// and 1, the same of row l / 4 + 8 in elements 2 and 3.
#pragma once

#include "../simt/simt.hpp"

namespace ln::cuda {

/// A tile [rows, D] lies row after row, its 16-byte pieces permuted within a row so that the eight rows that ldmatrix
/// reads at a time fall into different banks.
template <int D>
__device__ __forceinline__ uint16_t* piece_of(uint16_t* tile, int row, int piece) {
  static_assert(D % 32 == 0);
  const int turn = D % 64 == 0 ? row & 7 : row >> 1 & 3;
  return tile + row * D + (piece ^ turn) * 8;
}

/// Rows [0, rows) of `source` [.., D], the others zero. Asynchronous: the caller commits and waits.
template <int D, int kRows, int kThreads>
__device__ __forceinline__ void copy_tile(uint16_t* tile, const uint16_t* source, int rows) {
  constexpr int kPieces = D / 8;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kPieces; i += kThreads) {
    const int row = i / kPieces, piece = i % kPieces;
    uint16_t* at = piece_of<D>(tile, row, piece);
    if (row < rows) {
      simt::cp_async16(at, source + int64_t{row} * D + piece * 8);
    } else {
      *reinterpret_cast<uint4*>(at) = make_uint4(0, 0, 0, 0);
    }
  }
}

/// Eight floats from column `first` of a row of `width`, zeros beyond; `quads`: the row may be read 16 bytes at a time.
__device__ __forceinline__ void load_eight(float (&x)[8], const float* row, int first, int width, bool quads) {
  if (quads && first + 8 <= width) {
    const float4 a = *reinterpret_cast<const float4*>(row + first),
                 b = *reinterpret_cast<const float4*>(row + first + 4);
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
  } else {
    for (int e = 0; e < 8; ++e) x[e] = first + e < width ? row[first + e] : 0.0f;
  }
}

__device__ __forceinline__ uint4 pack_eight(const float (&x)[8]) {
  return make_uint4(simt::pack_bf16(x[0], x[1]), simt::pack_bf16(x[2], x[3]), simt::pack_bf16(x[4], x[5]),
                    simt::pack_bf16(x[6], x[7]));
}

/// scores[row, column] = left[first + row,:] . right[column,:] for kTiles times 16 rows of the warp, which share what
/// is read of `right`, and kColumns rows of `right`.
template <int D, int kTiles, int kColumns>
__device__ __forceinline__ void score_tile(float (&scores)[kTiles][kColumns / 8][4], uint16_t* left, int first,
                                           uint16_t* right) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[m][n][e] = 0;
    }
  }
#pragma unroll 4  // unrolled whole, what is loaded ahead no longer fits the registers
  for (int k = 0; k < D / 16; ++k) {
    uint32_t a[kTiles][4];
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      simt::ldmatrix_x4(a[m], piece_of<D>(left, first + m * 16 + (lane & 15), k * 2 + (lane >> 4)));
    }
#pragma unroll
    for (int n = 0; n < kColumns / 16; ++n) {
      uint32_t b[4];
      simt::ldmatrix_x4(b, piece_of<D>(right, n * 16 + (lane & 7) + (lane >> 4) * 8, k * 2 + (lane >> 3 & 1)));
      const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        simt::mma_bf16_16816(scores[m][n * 2], a[m], low);
        simt::mma_bf16_16816(scores[m][n * 2 + 1], a[m], high);
      }
    }
  }
}

/// The weights of score_tile's registers in bfloat16, as the left side of add_weighted.
template <int kColumns>
__device__ __forceinline__ void pack_weights(uint32_t (&packed)[kColumns / 16][4],
                                             const float (&weights)[kColumns / 8][4]) {
#pragma unroll
  for (int k = 0; k < kColumns / 16; ++k) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      packed[k][e] = simt::pack_bf16(weights[k * 2 + e / 2][e % 2 * 2], weights[k * 2 + e / 2][e % 2 * 2 + 1]);
    }
  }
}

/// sums[row, 0:D] += weights[row, n] * right[n,:] over kColumns rows of `right`, for kTiles times 16 rows of the warp.
template <int D, int kTiles, int kColumns>
__device__ __forceinline__ void add_weighted(float (&sums)[kTiles][D / 8][4],
                                             const uint32_t (&weights)[kTiles][kColumns / 16][4], uint16_t* right) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int k = 0; k < kColumns / 16; ++k) {
#pragma unroll
    for (int n = 0; n < D / 16; ++n) {
      uint32_t b[4];
      simt::ldmatrix_x4_transposed(b, piece_of<D>(right, k * 16 + (lane & 15), n * 2 + (lane >> 4)));
      const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        simt::mma_bf16_16816(sums[m][n * 2], weights[m][k], low);
        simt::mma_bf16_16816(sums[m][n * 2 + 1], weights[m][k], high);
      }
    }
  }
}

/// row[0:width] = factor * the lane's row l / 4 + 8 * half; `pairs`: the row may be written 8 bytes at a time.
template <int D>
__device__ __forceinline__ void store_row(float* row, const float (&sums)[D / 8][4], int half, float factor, int width,
                                          bool pairs) {
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
    const int column = n * 8 + static_cast<int>(threadIdx.x) % 4 * 2;
    const float low = sums[n][half * 2] * factor, high = sums[n][half * 2 + 1] * factor;
    if (pairs) {
      if (column < width) *reinterpret_cast<float2*>(row + column) = make_float2(low, high);
    } else {
      if (column < width) row[column] = low;
      if (column + 1 < width) row[column + 1] = high;
    }
  }
}

}  // namespace ln::cuda
