// The float32 tile of product_tile.cuh: 64 x 64 in steps of 16, a thread has 8 rows x 4 columns. Multiply-adds on the
// CUDA cores, one sum per element in the order of k.
#pragma once

#include "product_tile.cuh"

namespace ln::cuda {

class F32Tile {
 public:
  using Shape = TileShape<64, 64, 16, 32, 32, 2, 4>;

 private:
  static constexpr int kM = Shape::kM, kN = Shape::kN, kK = Shape::kK, kThreads = Shape::kThreads;
  static constexpr int kRows = 8, kColumns = 4;
  static_assert(kM / kRows * (kN / kColumns) == kThreads && kM * kK / kChunk == kThreads && kM == kN, "one chunk each");

 public:
  struct alignas(16) Shared {
    float left[2][kK][kM + 4];
    float right[2][kK][kN + 4];
    float table[16];
  };

  template <class Left, class Right>
  __device__ __forceinline__ void run(Shared& shared, const Left& left, const Right& right, int64_t k_begin,
                                      int64_t k_end) {
    if (Right::kFourBits) {
      fill_code_table(shared.table, right.dtype);
      __syncthreads();
    }
    const int64_t steps = k_end > k_begin ? (k_end - k_begin + kK - 1) / kK : 0;
    Chunk of_left, of_right;
    if (steps > 0) {
      begin(of_left, left, k_begin, k_end);
      begin(of_right, right, k_begin, k_end);
      end(shared.left[0], of_left, left, shared.table);
      end(shared.right[0], of_right, right, shared.table);
    }
    for (int64_t step = 0; step < steps; ++step) {
      const int stage = static_cast<int>(step % 2);
      __syncthreads();
      const bool more = step + 1 < steps;
      if (more) {
        begin(of_left, left, k_begin + (step + 1) * kK, k_end);
        begin(of_right, right, k_begin + (step + 1) * kK, k_end);
      }
      multiply(shared.left[stage], shared.right[stage]);
      if (more) {
        end(shared.left[1 - stage], of_left, left, shared.table);
        end(shared.right[1 - stage], of_right, right, shared.table);
      }
    }
    __syncthreads();
  }

  template <class Left, class Right>
  __device__ __forceinline__ void run_short(Shared& shared, const Left& left, const Right& right, int64_t k_begin,
                                            int64_t k_end) {
    run(shared, left, right, k_begin, k_end);
  }

  __device__ __forceinline__ void scale(float factor) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) sums_[i][j] *= factor;
    }
  }

  template <class Visitor>
  __device__ __forceinline__ void visit(Visitor visitor) const {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; j += 2) visitor(row() + i, column() + j, sums_[i][j], sums_[i][j + 1]);
    }
  }

 private:
  static __device__ __forceinline__ int row() { return static_cast<int>(threadIdx.x) / (kN / kColumns) * kRows; }
  static __device__ __forceinline__ int column() { return static_cast<int>(threadIdx.x) % (kN / kColumns) * kColumns; }

  /// This thread's chunk of a step: line and k of its first element.
  template <class Source>
  static __device__ __forceinline__ int line() {
    const int t = static_cast<int>(threadIdx.x);
    return Source::kKInner ? t / (kK / kChunk) : t % (kM / kChunk) * kChunk;
  }
  template <class Source>
  static __device__ __forceinline__ int k() {
    const int t = static_cast<int>(threadIdx.x);
    return Source::kKInner ? t % (kK / kChunk) * kChunk : t / (kM / kChunk);
  }

  template <class Source>
  static __device__ __forceinline__ void begin(Chunk& chunk, const Source& source, int64_t k_begin, int64_t k_end) {
    source.reader.fetch(chunk, source.at(line<Source>(), k_begin + k<Source>()),
                        source.valid(line<Source>(), k_begin + k<Source>(), k_end));
  }

  template <class Source>
  static __device__ __forceinline__ void end(float (&stage)[kK][kM + 4], const Chunk& chunk, const Source& source,
                                             const float* table) {
    float value[kChunk];
    source.reader.floats(value, chunk, table);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      if (Source::kKInner) {
        stage[k<Source>() + i][line<Source>()] = value[i];
      } else {
        stage[k<Source>()][line<Source>() + i] = value[i];
      }
    }
  }

  __device__ __forceinline__ void multiply(const float (&left)[kK][kM + 4], const float (&right)[kK][kN + 4]) {
#pragma unroll
    for (int p = 0; p < kK; ++p) {
      const float4 top = *reinterpret_cast<const float4*>(&left[p][row()]);
      const float4 bottom = *reinterpret_cast<const float4*>(&left[p][row() + 4]);
      const float4 across = *reinterpret_cast<const float4*>(&right[p][column()]);
      const float a[kRows] = {top.x, top.y, top.z, top.w, bottom.x, bottom.y, bottom.z, bottom.w};
      const float b[kColumns] = {across.x, across.y, across.z, across.w};
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; ++j) sums_[i][j] = fmaf(a[i], b[j], sums_[i][j]);
      }
    }
  }

  float sums_[kRows][kColumns] = {};
};

}  // namespace ln::cuda
