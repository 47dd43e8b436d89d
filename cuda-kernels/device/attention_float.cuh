// Tiles of rows in float32 in shared memory, and the two products of attention on ordinary units, by 8 x 16 threads:
// thread (y, x) holds the rows y * kTall and following of the left side; of scores the columns x, x + 16, ..., of sums
// the columns 4 x .. 4 x + 3, and 64 further on. The 16 threads of a row lie in one warp.
#pragma once

#include "../simt/simt.hpp"

namespace ln::cuda {

constexpr int kFloatThreads = 128;

/// Tiles of D columns: kRows of each side; kTall rows and kWide columns of scores, and kQuads times four columns of
/// sums per thread; rows of tiles and of weights are kStride and kWeightStride floats apart.
template <int D>
struct FloatTiles {
  static constexpr int kRows = D <= 128 ? 32 : 16, kTall = kRows / 8, kWide = kRows / 16, kQuads = D / 64;
  static constexpr int kStride = D + 4, kWeightStride = kRows + 1;
  static constexpr int kTile = kRows * kStride, kWeights = kRows * kWeightStride;
  using Scores = float[kTall][kWide];
  using Sums = float4[kTall][kQuads];

  static __device__ __forceinline__ int x() { return static_cast<int>(threadIdx.x) % 16; }
  static __device__ __forceinline__ int y() { return static_cast<int>(threadIdx.x) / 16; }

  /// Rows [0, rows) of width `head_dim` from `source`, `stride` floats apart; zeros elsewhere.
  static __device__ __forceinline__ void load(float* tile, const float* source, int64_t stride, int rows,
                                              int head_dim) {
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < kRows * D; i += kFloatThreads) {
      const int row = i / D, column = i % D;
      tile[row * kStride + column] = row < rows && column < head_dim ? source[row * stride + column] : 0.0f;
    }
  }

  static __device__ __forceinline__ void clear(Sums& sums) {
#pragma unroll
    for (int i = 0; i < kTall; ++i) {
#pragma unroll
      for (int c = 0; c < kQuads; ++c) sums[i][c] = make_float4(0, 0, 0, 0);
    }
  }

  /// scores = left . right^T over the first `width` columns
  static __device__ __forceinline__ void multiply(Scores& scores, const float* left, const float* right, int width) {
    float4 dots[kTall][kWide];
#pragma unroll
    for (int i = 0; i < kTall; ++i) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) dots[i][j] = make_float4(0, 0, 0, 0);
    }
#pragma unroll 2
    for (int c = 0; c < width; c += 4) {
      float4 b[kWide];
#pragma unroll
      for (int j = 0; j < kWide; ++j) b[j] = *reinterpret_cast<const float4*>(right + (x() + j * 16) * kStride + c);
#pragma unroll
      for (int i = 0; i < kTall; ++i) {
        const float4 a = *reinterpret_cast<const float4*>(left + (y() * kTall + i) * kStride + c);
#pragma unroll
        for (int j = 0; j < kWide; ++j) {
          dots[i][j].x += a.x * b[j].x;
          dots[i][j].y += a.y * b[j].y;
          dots[i][j].z += a.z * b[j].z;
          dots[i][j].w += a.w * b[j].w;
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kTall; ++i) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        scores[i][j] = (dots[i][j].x + dots[i][j].y) + (dots[i][j].z + dots[i][j].w);
      }
    }
  }

  /// sums += weights . right; `exchange` [kWeights] passes the weights between the threads of a row.
  static __device__ __forceinline__ void add_weighted(Sums& sums, const Scores& weights, float* exchange,
                                                      const float* right) {
    __syncwarp();  // the row's threads are done with the weights before
#pragma unroll
    for (int i = 0; i < kTall; ++i) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) exchange[(y() * kTall + i) * kWeightStride + x() + j * 16] = weights[i][j];
    }
    __syncwarp();
#pragma unroll 4
    for (int n = 0; n < kRows; ++n) {
      float4 b[kQuads];
#pragma unroll
      for (int c = 0; c < kQuads; ++c) b[c] = *reinterpret_cast<const float4*>(right + n * kStride + x() * 4 + c * 64);
#pragma unroll
      for (int i = 0; i < kTall; ++i) {
        const float w = exchange[(y() * kTall + i) * kWeightStride + n];
#pragma unroll
        for (int c = 0; c < kQuads; ++c) {
          sums[i][c].x += w * b[c].x;
          sums[i][c].y += w * b[c].y;
          sums[i][c].z += w * b[c].z;
          sums[i][c].w += w * b[c].w;
        }
      }
    }
  }

  /// row[0:width] = factor * sums
  static __device__ __forceinline__ void store(float* row, const float4 (&sums)[kQuads], float factor, int width) {
#pragma unroll
    for (int c = 0; c < kQuads; ++c) {
      const int column = x() * 4 + c * 64;
      const float values[4] = {sums[c].x, sums[c].y, sums[c].z, sums[c].w};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (column + e < width) row[column + e] = values[e] * factor;
      }
    }
  }
};

}  // namespace ln::cuda
