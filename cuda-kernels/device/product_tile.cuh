// A tile of a product C[m,n] = L[m,k] . R[n,k]^T, computed by one block.
//
//   Bf16Tile  operands rounded to bfloat16 on their way into shared memory, mma.sync m16n8k16, float32 sums
//   F32Tile   float32 operands and multiply-adds: for parity, not for speed (product_tile_f32.cuh)
//
// Use:
//   SIMT_DYN_SMEM(Tile::Shared, shared);
//   Tile tile;
//   tile.run(*shared, TileOperand<...>(left, first_row), TileOperand<...>(right, first_column), k_begin, k_end);
//   tile.visit([&](int row, int column, float value, float next) { ... });   // next: of column + 1
// run() may be called again with other operands of the same orientation (an adapter's u and B): the sums go on, after
// scale() in what has been summed so far. All threads of the block take part; when it returns, shared memory is free.
#pragma once

#include "operand.cuh"

namespace ln::cuda {

/// kM x kN per block in steps of kK, kWarpM x kWarpN per warp, kStages steps in shared memory; registers are to allow
/// kBlocks blocks per multiprocessor.
template <int kM_, int kN_, int kK_, int kWarpM_, int kWarpN_, int kStages_, int kBlocks_>
struct TileShape {
  static constexpr int kM = kM_, kN = kN_, kK = kK_, kWarpM = kWarpM_, kWarpN = kWarpN_, kStages = kStages_;
  static constexpr int kBlocks = kBlocks_;
  static constexpr int kWarpsM = kM / kWarpM, kWarpsN = kN / kWarpN;
  static constexpr int kThreads = kWarpsM * kWarpsN * 32;
};

/// How an operand is read.
enum class Access {
  kAny,    // element by element, when a step is due
  kWhole,  // whole_chunks(): loaded a step ahead
  kAsync   // bfloat16 in memory, by cp.async where it has whole chunks
};

/// An operand from the tile's first line on.
template <bool kKInner_, bool kFourBits_, Access kAccess_>
struct TileOperand {
  static constexpr bool kKInner = kKInner_, kFourBits = kFourBits_;
  static constexpr Access kAccess = kAccess_;

  const void* data;  // from the tile's first line on, but for a 4-bit weight
  Reader<kFourBits, kAccess == Access::kWhole> reader;
  int64_t ld;
  int64_t origin;  // number of the tile's first element in a 4-bit weight
  int lines;
  int32_t dtype;

  __device__ __forceinline__ TileOperand(const Operand& operand, int64_t first_line)
      : data(start(operand, first_line)),
        reader(data, kAccess == Access::kAsync ? static_cast<int32_t>(LN_BF16) : operand.dtype),
        ld(operand.ld),
        origin(kFourBits ? first(operand, first_line) : 0),
        lines(static_cast<int>(operand.lines - first_line < 4096 ? operand.lines - first_line : 4096)),
        dtype(operand.dtype) {}

  static __device__ __forceinline__ int64_t first(const Operand& operand, int64_t first_line) {
    return kKInner ? first_line * operand.ld : first_line;
  }
  static __device__ __forceinline__ const void* start(const Operand& operand, int64_t first_line) {
    if (kFourBits) return operand.data;
    const int64_t halves = kAccess != Access::kAsync && operand.dtype == LN_F32 ? 2 : 1;
    return static_cast<const uint16_t*>(operand.data) + first(operand, first_line) * halves;
  }

  /// Number of the first element of the chunk at (line, k), and how many of its elements there are.
  __device__ __forceinline__ int64_t at(int line, int64_t k) const {
    const int64_t from_origin = kKInner ? line * ld + k : k * ld + line;
    return kFourBits ? origin + from_origin : from_origin;
  }
  __device__ __forceinline__ int valid(int line, int64_t k, int64_t k_end) const {
    if (line >= lines || k >= k_end) return 0;
    if (kAccess == Access::kWhole) return kChunk;
    if (kKInner) return k + kChunk <= k_end ? kChunk : static_cast<int>(k_end - k);
    return line + kChunk <= lines ? kChunk : lines - line;
  }
  /// whole_chunks() of bfloat16.
  __device__ __forceinline__ bool whole(int64_t k_end) const {
    return ((reinterpret_cast<uint64_t>(data) | static_cast<uint64_t>(ld) * 2) & 15) == 0 &&
           (kKInner ? k_end % kChunk == 0 : lines % kChunk == 0);
  }
};

/// Moves steps of an operand into shared memory: begin() starts the loads of a step, end() stores what has come.
/// Layout of a stage: the inner dimension of the matrix stays the inner one, and rows are 16 bytes longer than their
/// elements, so that the eight rows of an ldmatrix lie in different banks.
template <int kLines, int kK, int kThreads, class Source>
class Feed {
 public:
  static constexpr int kPitch = (Source::kKInner ? kK : kLines) + 8;

  __device__ __forceinline__ Feed(const Source& source, int64_t k_end) {
    by_element_ = Source::kAccess == Access::kAny || (Source::kAccess == Access::kAsync && !source.whole(k_end));
  }

  __device__ __forceinline__ void begin(const Source& source, uint16_t* stage, int64_t k_begin, int64_t k_end) {
    if constexpr (Source::kAccess != Access::kAny) {
      if (by_element_) return;
#pragma unroll
      for (int j = 0; j < kPerThread; ++j) {
        const int c = static_cast<int>(threadIdx.x) + j * kThreads;
        if (kChunks % kThreads != 0 && c >= kChunks) break;
        const int valid = source.valid(line_of(c), k_begin + k_of(c), k_end);
        const int64_t at = source.at(line_of(c), k_begin + k_of(c));
        if constexpr (Source::kAccess == Access::kWhole) {
          source.reader.fetch(chunk_[j], at, valid);
        } else if (valid != 0) {
          simt::cp_async16(stage + place_of(c), static_cast<const uint16_t*>(source.data) + at);
        } else {
          *reinterpret_cast<uint4*>(stage + place_of(c)) = make_uint4(0, 0, 0, 0);
        }
      }
    }
  }

  __device__ __forceinline__ void end(const Source& source, uint16_t* stage, const float* table, int64_t k_begin,
                                      int64_t k_end) {
    if constexpr (Source::kAccess == Access::kWhole) {
#pragma unroll
      for (int j = 0; j < kPerThread; ++j) {
        const int c = static_cast<int>(threadIdx.x) + j * kThreads;
        if (kChunks % kThreads != 0 && c >= kChunks) break;
        *reinterpret_cast<uint4*>(stage + place_of(c)) = source.reader.bf16(chunk_[j], table);
      }
    } else if (by_element_) {
#pragma unroll 1
      for (int c = static_cast<int>(threadIdx.x); c < kChunks; c += kThreads) {
        const int64_t k = k_begin + k_of(c);
        Chunk chunk;
        source.reader.fetch(chunk, source.at(line_of(c), k), source.valid(line_of(c), k, k_end));
        *reinterpret_cast<uint4*>(stage + place_of(c)) = source.reader.bf16(chunk, table);
      }
    }
  }

  /// A step at once, chunk by chunk.
  static __device__ __forceinline__ void copy(const Source& source, uint16_t* stage, int64_t k_begin, int64_t k_end) {
#pragma unroll 2
    for (int c = static_cast<int>(threadIdx.x); c < kChunks; c += kThreads) {
      const int line = line_of(c);
      Chunk chunk;
      source.reader.fetch(chunk, source.at(line, k_begin + k_of(c)), source.valid(line, k_begin + k_of(c), k_end));
      *reinterpret_cast<uint4*>(stage + place_of(c)) = source.reader.bf16(chunk, nullptr);
    }
  }

 private:
  static constexpr int kChunks = kLines * kK / kChunk, kPerThread = (kChunks + kThreads - 1) / kThreads;
  static constexpr int kInner = Source::kKInner ? kK : kLines;

  static __device__ __forceinline__ int line_of(int c) {
    return Source::kKInner ? c / (kInner / kChunk) : c % (kInner / kChunk) * kChunk;
  }
  static __device__ __forceinline__ int k_of(int c) {
    return Source::kKInner ? c % (kInner / kChunk) * kChunk : c / (kInner / kChunk);
  }
  static __device__ __forceinline__ int place_of(int c) {
    return c / (kInner / kChunk) * kPitch + c % (kInner / kChunk) * kChunk;
  }

  bool by_element_;
  Chunk chunk_[Source::kAccess == Access::kWhole ? kPerThread : 1];
};

template <class Shape_, bool kLeftKInner_, bool kRightKInner_>
class Bf16Tile {
 public:
  using Shape = Shape_;
  static constexpr bool kLeftKInner = kLeftKInner_, kRightKInner = kRightKInner_;

 private:
  static constexpr int kStages = Shape::kStages;
  static constexpr int kTilesM = Shape::kWarpM / 16, kPairsN = Shape::kWarpN / 16;
  static constexpr int kLeftPitch = (kLeftKInner ? Shape::kK : Shape::kM) + 8;
  static constexpr int kRightPitch = (kRightKInner ? Shape::kK : Shape::kN) + 8;

 public:
  struct alignas(16) Shared {
    uint16_t left[kStages][(kLeftKInner ? Shape::kM : Shape::kK) * kLeftPitch];
    uint16_t right[kStages][(kRightKInner ? Shape::kN : Shape::kK) * kRightPitch];
    float table[16];
  };

  template <class Left, class Right>
  __device__ __forceinline__ void run(Shared& shared, const Left& left, const Right& right, int64_t k_begin,
                                      int64_t k_end) {
    static_assert(Left::kKInner == kLeftKInner && Right::kKInner == kRightKInner, "orientations of the tile");
    constexpr bool kAsync = Left::kAccess == Access::kAsync || Right::kAccess == Access::kAsync;
    Feed<Shape::kM, Shape::kK, Shape::kThreads, Left> from_left(left, k_end);
    Feed<Shape::kN, Shape::kK, Shape::kThreads, Right> from_right(right, k_end);
    if (Right::kFourBits) {
      fill_code_table(shared.table, right.dtype);
      __syncthreads();
    }
    const auto begin = [&](int stage, int64_t k) {
      from_left.begin(left, shared.left[stage], k, k_end);
      from_right.begin(right, shared.right[stage], k, k_end);
    };
    const auto end = [&](int stage, int64_t k) {
      from_left.end(left, shared.left[stage], shared.table, k, k_end);
      from_right.end(right, shared.right[stage], shared.table, k, k_end);
    };
    constexpr int kAhead = kStages - 1;
    for (int s = 0; s < kAhead; ++s) {
      const int64_t k = k_begin + s * Shape::kK;
      if (k < k_end) {
        begin(s, k);
        end(s, k);
      }
      if (kAsync) simt::cp_async_commit();
    }
    int stage = 0, filling = kAhead;
#pragma unroll 1
    for (int64_t k = k_begin; k < k_end; k += Shape::kK) {
      if (kAsync) simt::cp_async_wait<kStages - 2>();
      __syncthreads();  // `stage` is complete for all, and all have left `filling`, which they read a step ago
      const int64_t next = k + kAhead * Shape::kK;
      if (next < k_end) begin(filling, next);
      if (kAsync) simt::cp_async_commit();
      if (warp_m() < left.lines) multiply(shared.left[stage], shared.right[stage]);
      if (next < k_end) end(filling, next);
      stage = stage + 1 == kStages ? 0 : stage + 1;
      filling = filling + 1 == kStages ? 0 : filling + 1;
    }
    if (kAsync) simt::cp_async_wait<0>();
    __syncthreads();
  }

  /// As run(), with no loads in flight while it multiplies: for what is short, and in few registers.
  template <class Left, class Right>
  __device__ __forceinline__ void run_short(Shared& shared, const Left& left, const Right& right, int64_t k_begin,
                                            int64_t k_end) {
    static_assert(Left::kAccess != Access::kAsync && Right::kAccess != Access::kAsync && !Right::kFourBits, "plain");
    for (int64_t k = k_begin; k < k_end; k += Shape::kK) {
      Feed<Shape::kM, Shape::kK, Shape::kThreads, Left>::copy(left, shared.left[0], k, k_end);
      Feed<Shape::kN, Shape::kK, Shape::kThreads, Right>::copy(right, shared.right[0], k, k_end);
      __syncthreads();
      if (warp_m() < left.lines) multiply(shared.left[0], shared.right[0]);
      __syncthreads();
    }
  }

  __device__ __forceinline__ void scale(float factor) {
#pragma unroll
    for (int i = 0; i < kTilesM; ++i) {
#pragma unroll
      for (int j = 0; j < 2 * kPairsN; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sums_[i][j][e] *= factor;
      }
    }
  }

  /// visitor(row, column, value, value of column + 1) for this thread's elements; columns are even.
  template <class Visitor>
  __device__ __forceinline__ void visit(Visitor visitor) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kTilesM; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int j = 0; j < 2 * kPairsN; ++j) {
          visitor(warp_m() + i * 16 + half * 8 + lane / 4, warp_n() + j * 8 + lane % 4 * 2, sums_[i][j][half * 2],
                  sums_[i][j][half * 2 + 1]);
        }
      }
    }
  }

  /// What visitor(row, column, value, value of column + 1) returns, summed over the columns of a row: by parts, which a
  /// caller adds in their order after a barrier.
  static constexpr int kSumParts = Shape::kWarpsN;
  template <class Visitor>
  __device__ __forceinline__ void row_sums(float (&parts)[kSumParts][Shape::kM], Visitor visitor) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kTilesM; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = warp_m() + i * 16 + half * 8 + lane / 4;
        float sum = 0;
#pragma unroll
        for (int j = 0; j < 2 * kPairsN; ++j) {
          sum += visitor(row, warp_n() + j * 8 + lane % 4 * 2, sums_[i][j][half * 2], sums_[i][j][half * 2 + 1]);
        }
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (lane % 4 == 0) parts[warp_n() / Shape::kWarpN][row] = sum;
      }
    }
  }

  /// With a PairedOperand on the right: scale(), each matrix by its own factor.
  __device__ __forceinline__ void scale_pairs(float first, float second) {
#pragma unroll
    for (int i = 0; i < kTilesM; ++i) {
#pragma unroll
      for (int j = 0; j < 2 * kPairsN; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sums_[i][j][e] *= j % 2 == 0 ? first : second;
      }
    }
  }

  /// With a PairedOperand on the right: visitor(row, column, value of the first matrix, its next, value of the second,
  /// its next); `column` is that of the matrices, from 0 to kN / 2, and even.
  template <class Visitor>
  __device__ __forceinline__ void visit_pairs(Visitor visitor) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kTilesM; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int p = 0; p < kPairsN; ++p) {
          const float(&first)[4] = sums_[i][2 * p], (&second)[4] = sums_[i][2 * p + 1];
          visitor(warp_m() + i * 16 + half * 8 + lane / 4, warp_n() / 2 + p * 8 + lane % 4 * 2, first[half * 2],
                  first[half * 2 + 1], second[half * 2], second[half * 2 + 1]);
        }
      }
    }
  }

 private:
  static __device__ __forceinline__ int warp_m() {
    return static_cast<int>(threadIdx.x) / 32 / Shape::kWarpsN * Shape::kWarpM;
  }
  static __device__ __forceinline__ int warp_n() {
    return static_cast<int>(threadIdx.x) / 32 % Shape::kWarpsN * Shape::kWarpN;
  }

  /// Fragments of the step's k16 block `block`; lane l names row l % 8 of 8x8 matrix l / 8.
  __device__ __forceinline__ void load(uint32_t (&a)[kTilesM][4], uint32_t (&b)[kPairsN][4], const uint16_t* left,
                                       const uint16_t* right, int block) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, in_matrix = lane % 8;
    const int low = lane / 8 % 2 * 8, high = lane / 16 * 8;
#pragma unroll
    for (int i = 0; i < kTilesM; ++i) {  // matrices (m, k): (0,0) (8,0) (0,8) (8,8)
      const int m = warp_m() + i * 16;
      if (kLeftKInner) {
        simt::ldmatrix_x4(a[i], left + (m + in_matrix + low) * kLeftPitch + block * 16 + high);
      } else {
        simt::ldmatrix_x4_transposed(a[i], left + (block * 16 + in_matrix + high) * kLeftPitch + m + low);
      }
    }
#pragma unroll
    for (int j = 0; j < kPairsN; ++j) {  // matrices (n, k): (0,0) (0,8) (8,0) (8,8)
      const int n = warp_n() + j * 16;
      if (kRightKInner) {
        simt::ldmatrix_x4(b[j], right + (n + in_matrix + high) * kRightPitch + block * 16 + low);
      } else {
        simt::ldmatrix_x4_transposed(b[j], right + (block * 16 + in_matrix + low) * kRightPitch + n + high);
      }
    }
  }

  /// In large tiles the fragments of the next k16 block are on their way while this one is multiplied; small ones have
  /// other warps to wait for.
  __device__ __forceinline__ void multiply(const uint16_t* left, const uint16_t* right) {
    constexpr int kBlocks = Shape::kK / 16;
    constexpr int kSets = Shape::kWarpM * Shape::kWarpN >= 64 * 64 ? 2 : 1;
    uint32_t a[kSets][kTilesM][4], b[kSets][kPairsN][4];
    if (kSets == 2) load(a[0], b[0], left, right, 0);
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      const int ahead = block + kSets - 1;
      if (ahead < kBlocks) load(a[ahead % kSets], b[ahead % kSets], left, right, ahead);
#pragma unroll
      for (int i = 0; i < kTilesM; ++i) {
#pragma unroll
        for (int j = 0; j < 2 * kPairsN; ++j) {
          const uint32_t(&pair)[4] = b[block % kSets][j / 2];
          const uint32_t column[2] = {pair[j % 2 * 2], pair[j % 2 * 2 + 1]};
          simt::mma_bf16_16816(sums_[i][j], a[block % kSets][i], column);
        }
      }
    }
  }

  float sums_[kTilesM][2 * kPairsN][4] = {};
};

}  // namespace ln::cuda
