// 4-bit weights: quantising, at load time, and reading back.
//
// Dequantising. A thread makes 16 bytes of the result: it reads the codes of as many elements as one word, so that a
// warp reads and writes side by side, and looks them up in shared memory. Four words per thread are on their way at
// once. Bound by bytes: 0.5 + 2 + 4/block per element in bfloat16; about 7 instructions per element
// keep the issue slots a third busy at the speed of a copy. Predicted: 85 to 90 % of it.
//
// Quantising. 16 lanes per block, a byte of two codes per lane and step; the block is read twice, the second time from
// the cache. The mean of the scales is summed by one warp in the order of torch on x86: its 32 lanes are torch's four
// accumulators of eight lanes. All of it is far faster than the file that the weights come from.
//
// A descriptor that the CPU library would refuse, and elements past the weight's end, give NaN.
#include <cstring>

#include "cuda_backend.hpp"
#include "elements.cuh"
#include "quantized.cuh"
#include "reduce.cuh"

namespace ln::cuda {

namespace {

using Notice = unsigned long long;

constexpr int kThreads = 256;
constexpr int kLanesOfBlock = 16;
constexpr int kWordsPerThread = 4;
constexpr int kBlocksOfProcessor = 8;  // of a multiprocessor that dequantises
constexpr float kSmallestScale = 1e-38f;

__device__ __forceinline__ bool finite(float x) { return fabsf(x) <= 3.402823466e38f; }
__device__ __forceinline__ float not_a_number() { return __uint_as_float(0x7fffffffu); }

// ---- quantising -----------------------------------------------------------------------------------------------------

SIMT_CONSTANT float kFp4Midpoints[7] = {0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f,
                                        0.4166667f,  0.583333f,  0.8333333f};

/// The number of midpoints below r, each between two neighbours of the table.
__device__ __forceinline__ unsigned nf4_code(float r) {
  unsigned code = 0;
#pragma unroll
  for (int i = 0; i < 15; ++i) code += __fmul_rn(__fadd_rn(kCodeValues[i], kCodeValues[i + 1]), 0.5f) < r ? 1 : 0;
  return code;
}

__device__ __forceinline__ unsigned fp4_code(float r, bool negative) {
  const float size = fabsf(r);
  unsigned code = 0;
#pragma unroll
  for (int i = 0; i < 7; ++i) {
    if (size > kFp4Midpoints[i]) code = 0x3254761u >> (4 * i) & 15u;  // codes in the order of their magnitudes
  }
  return code + (negative ? 8 : 0);
}

__global__ void __launch_bounds__(kThreads)
    quantize_blocks(const void* src, int32_t src_dtype, int64_t n, int32_t type, int64_t block, uint8_t* codes,
                    float* absmax, Notice* notice) {
  const int lane = static_cast<int>(threadIdx.x) % kLanesOfBlock;
  const int64_t step = int64_t{gridDim.x} * (kThreads / kLanesOfBlock), blocks = (n + block - 1) / block;
  // All lanes of a warp go round as often: they meet in the shuffles.
  const int64_t rounds = (blocks + step - 1) / step;
  int64_t b = int64_t{blockIdx.x} * (kThreads / kLanesOfBlock) + threadIdx.x / kLanesOfBlock;
  Notice bad = ~Notice{0};
  for (int64_t round = 0; round < rounds; ++round, b += step) {
    const int64_t begin = b * block, end = begin >= n ? begin : n - begin < block ? n : begin + block;
    float largest = 0;
    for (int64_t i = begin + 2 * lane; i < end; i += 2 * kLanesOfBlock) {
      const float even = load_element(src, src_dtype, i), odd = i + 1 < end ? load_element(src, src_dtype, i + 1) : 0;
      if (!finite(odd) && static_cast<Notice>(i + 1) < bad) bad = static_cast<Notice>(i + 1);
      if (!finite(even) && static_cast<Notice>(i) < bad) bad = static_cast<Notice>(i);
      largest = fmaxf(largest, fmaxf(fabsf(even), fabsf(odd)));
    }
    for (int lanes = kLanesOfBlock / 2; lanes > 0; lanes /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, lanes));
    }
    if (begin >= n) continue;
    if (lane == 0) absmax[b] = largest;
    const float reciprocal = __frcp_rn(fmaxf(largest, kSmallestScale));
    for (int64_t i = begin + 2 * lane; i < end; i += 2 * kLanesOfBlock) {
      const float even = load_element(src, src_dtype, i), odd = i + 1 < end ? load_element(src, src_dtype, i + 1) : 0;
      const float first = __fmul_rn(even, reciprocal), second = __fmul_rn(odd, reciprocal);
      codes[i / 2] = static_cast<uint8_t>(type == LN_NF4 ? nf4_code(first) << 4 | nf4_code(second)
                                                         : fp4_code(first, even < 0) << 4 | fp4_code(second, odd < 0));
    }
  }
  if (bad != ~Notice{0}) atomicMin(notice, bad);
}

// ---- double quantisation --------------------------------------------------------------------------------------------

// What the notice says: the number of a scale that is not finite, or one of these.
constexpr Notice kBadEntry = Notice{1} << 62;  // + number of the entry << 32 + its bits
constexpr Notice kBadMean = Notice{1} << 63;

__global__ void __launch_bounds__(kThreads)
    check_scales(const float* absmax, int64_t n, const float* nested_code, Notice* notice) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += step) {
    if (!finite(absmax[i])) atomicMin(notice, static_cast<Notice>(i));
  }
  if (blockIdx.x != 0) return;
  const unsigned i = threadIdx.x;
  const float entry = nested_code[i];
  if (!finite(entry) || (i > 0 && entry < nested_code[i - 1])) {
    atomicMin(notice, kBadEntry + (Notice{i} << 32) + __float_as_uint(entry));
  }
}

/// One warp. Lane 8 r + l is lane l of accumulator r: it has a sum at each of four levels, of which one takes over the
/// one below when that has gathered `2^power` values of it.
__global__ void __launch_bounds__(kWarp) mean_of_scales(const float* absmax, int64_t n, float* mean, Notice* notice) {
  constexpr int kLevels = 4, kRows = 4, kRowLanes = 8;
  if (*notice != ~Notice{0}) return;
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t steps = n / kWarp, vectors = n / kRowLanes;
  int width = 0;
  while (steps >> (width + 1) != 0) ++width;
  const int power = width / kLevels > 4 ? width / kLevels : 4;
  const int64_t step = int64_t{1} << power;
  float sums[kLevels] = {};
  int64_t i = 0;
  while (i + step <= steps) {
    const int64_t end = i + step;
    for (; i < end; i += 8) {  // step is a multiple of 8: eight loads on their way at once
      float x[8];
#pragma unroll
      for (int k = 0; k < 8; ++k) x[k] = absmax[(i + k) * kWarp + lane];
#pragma unroll
      for (int k = 0; k < 8; ++k) sums[0] = __fadd_rn(sums[0], x[k]);
    }
    bool carry = true;
#pragma unroll
    for (int level = 1; level < kLevels; ++level) {
      if (!carry) continue;
      sums[level] = __fadd_rn(sums[level], sums[level - 1]);
      sums[level - 1] = 0;
      carry = (i & ((step - 1) << (level * power))) == 0;
    }
  }
  for (; i < steps; ++i) sums[0] = __fadd_rn(sums[0], absmax[i * kWarp + lane]);
  float sum = sums[0];
#pragma unroll
  for (int level = 1; level < kLevels; ++level) sum = __fadd_rn(sum, sums[level]);
  for (int64_t v = steps * kRows; v < vectors; ++v) {
    if (lane < kRowLanes) sum = __fadd_rn(sum, absmax[v * kRowLanes + lane]);
  }
  const float of_row = sum;
  for (int r = 1; r < kRows; ++r) {
    sum = __fadd_rn(sum, __shfl_sync(kAllLanes, of_row, (r * kRowLanes + lane) % kWarp));
  }
  float total = 0;
  for (int64_t k = vectors * kRowLanes; k < n; ++k) total = __fadd_rn(total, absmax[k]);
  for (int l = 0; l < kRowLanes; ++l) total = __fadd_rn(total, __shfl_sync(kAllLanes, sum, l));
  if (lane != 0) return;
  const float result = __fdiv_rn(total, static_cast<float>(n));
  if (finite(result)) {
    *mean = result;
  } else {
    atomicMin(notice, kBadMean);
  }
}

/// The number of the entry nearest to x, the even one where two are as near; 0 for NaN.
__device__ __forceinline__ unsigned nearest(const float* code, float x) {
  if (x != x) return 0;
  unsigned above = 0;  // entries before it are below x
  for (unsigned half = 128; half > 0; half /= 2) above += code[above + half - 1] < x ? half : 0;
  above = above > 1 ? above : 1;
  const float middle = __fmul_rn(__fadd_rn(code[above - 1], code[above]), 0.5f);
  const bool up = x == middle ? above % 2 == 0 : x > middle;
  return up ? above : above - 1;
}

__global__ void __launch_bounds__(kThreads)
    quantize_scales(const float* absmax, int64_t n, int64_t nested_block, const float* nested_code, const float* mean,
                    uint8_t* codes, float* nested_absmax) {
  __shared__ float entries[kThreads], largest_of_warp[kThreads / kWarp];
  entries[threadIdx.x] = nested_code[threadIdx.x];
  const float offset = *mean;
  for (int64_t b = blockIdx.x; b * nested_block < n; b += gridDim.x) {
    const int64_t begin = b * nested_block, end = n - begin < nested_block ? n : begin + nested_block;
    float largest = 0;
    for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
      largest = fmaxf(largest, fabsf(__fsub_rn(absmax[i], offset)));
    }
    largest = warp_max(largest);
    __syncthreads();
    if (threadIdx.x % kWarp == 0) largest_of_warp[threadIdx.x / kWarp] = largest;
    __syncthreads();
    for (int w = 0; w < kThreads / kWarp; ++w) largest = fmaxf(largest, largest_of_warp[w]);
    if (threadIdx.x == 0) nested_absmax[b] = largest;
    const float reciprocal = __frcp_rn(largest);
    for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
      codes[i] = static_cast<uint8_t>(nearest(entries, __fmul_rn(__fsub_rn(absmax[i], offset), reciprocal)));
    }
  }
}

// ---- dequantising ---------------------------------------------------------------------------------------------------

/// Words of codes for 16 bytes of the result.
template <int32_t kDtype>
struct Group;

template <>
struct Group<LN_F32> {
  using Word = uint16_t;
  static constexpr int kElements = 4;
};
template <>
struct Group<LN_BF16> {
  using Word = uint32_t;
  static constexpr int kElements = 8;
};
template <>
struct Group<LN_F16> : Group<LN_BF16> {};

template <int32_t kDtype>
__device__ __forceinline__ uint32_t pack(float low, float high) {
  if (kDtype == LN_BF16) return simt::pack_bf16(low, high);
  return simt::float_to_f16(low) | static_cast<uint32_t>(simt::float_to_f16(high)) << 16;
}

template <int32_t kDtype>
__device__ __forceinline__ uint4 decode(const float* table, typename Group<kDtype>::Word word, float scale) {
  float value[8];
  decode_word(table, word, scale, value);
  if (kDtype == LN_F32) {
    return make_uint4(__float_as_uint(value[0]), __float_as_uint(value[1]), __float_as_uint(value[2]),
                      __float_as_uint(value[3]));
  }
  return make_uint4(pack<kDtype>(value[0], value[1]), pack<kDtype>(value[2], value[3]),
                    pack<kDtype>(value[4], value[5]), pack<kDtype>(value[6], value[7]));
}

/// dst[i] is element first + i, for i < count. `aligned`: where the number of an element is a multiple of those in 16
/// bytes, its place in dst is a multiple of 16 bytes.
template <int32_t kDtype>
__global__ void __launch_bounds__(kThreads) dequantize_elements(const ln_quantized* weight, int32_t type, int64_t first,
                                                                int64_t count, void* dst, bool aligned) {
  using Word = typename Group<kDtype>::Word;
  constexpr int kElements = Group<kDtype>::kElements;
  __shared__ float table[kCodes];
  fill_code_table(table, type);
  const QuantizedView view = quantized_view(weight, 0);
  __syncthreads();
  const int64_t known = view.elements - first < count ? view.elements - first : count;
  // Groups of elements that are wholly there, by number of the group in the weight.
  int64_t begin = (first + kElements - 1) / kElements, end = known <= 0 ? 0 : (first + known) / kElements;
  if (!aligned || begin >= end || (reinterpret_cast<uintptr_t>(view.codes) & (sizeof(Word) - 1)) != 0) begin = end = 0;
  constexpr int64_t kTile = kThreads * kWordsPerThread;
  for (int64_t tile = begin + blockIdx.x * kTile; tile < end; tile += gridDim.x * kTile) {
    const int groups = static_cast<int>(end - tile < kTile ? end - tile : kTile);
    const Word* const words = reinterpret_cast<const Word*>(view.codes) + tile;
    char* const bytes = static_cast<char*>(dst) + (tile * kElements - first) * (16 / kElements);
    Word word[kWordsPerThread];
    float scale[kWordsPerThread];
#pragma unroll
    for (int k = 0; k < kWordsPerThread; ++k) {
      const int at = k * kThreads + static_cast<int>(threadIdx.x);
      if (at >= groups) continue;
      word[k] = __ldg(words + at);
      scale[k] = scale_at(view, (tile + at) * kElements);
    }
#pragma unroll
    for (int k = 0; k < kWordsPerThread; ++k) {
      const int at = k * kThreads + static_cast<int>(threadIdx.x);
      if (at < groups) *reinterpret_cast<uint4*>(bytes + at * 16) = decode<kDtype>(table, word[k], scale[k]);
    }
  }
  // What is left: the ends, or all of it.
  const int64_t before = begin < end ? begin * kElements - first : 0,
                behind = begin < end ? end * kElements - first : 0;
  const int64_t left = count - (behind - before), step = int64_t{gridDim.x} * kThreads;
  for (int64_t k = int64_t{blockIdx.x} * kThreads + threadIdx.x; k < left; k += step) {
    const int64_t i = k < before ? k : k - before + behind;
    store_element(dst, kDtype, i, i < known ? quantized_at(view, table, first + i) : not_a_number());
  }
}

template <int32_t kDtype>
void dequantize_to(const ln_context& context, const ln_quantized* weight, int32_t type, int64_t first, int64_t count,
                   void* dst) {
  constexpr int kElements = Group<kDtype>::kElements;
  const uint64_t of_element_0 = reinterpret_cast<uintptr_t>(dst) - static_cast<uint64_t>(first * (16 / kElements));
  launch(context, "ln_dequantize", dequantize_elements<kDtype>,
         blocks_for(count, kThreads * kWordsPerThread * kElements, context.backend->processors * kBlocksOfProcessor),
         kThreads, 0, weight, type, first, count, dst, of_element_0 % 16 == 0);
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void quantize(ln_context& context, const void* src, int32_t src_dtype, int64_t n, int32_t type, int64_t block,
              uint8_t* codes, float* absmax, const Checker& check) {
  using namespace cuda;
  reset_notice(context);
  launch(context, "ln_quantize", quantize_blocks, blocks_for(ceil_div(n, block), kThreads / kLanesOfBlock), kThreads, 0,
         src, src_dtype, n, type, block, codes, absmax, reinterpret_cast<Notice*>(context.backend->notice));
  const uint64_t bad = read_notice(context);
  if (bad != kNothing) check.fail(LN_INVALID_ARGUMENT, "src[" + std::to_string(bad) + "] is NaN or infinite");
}

void quantize_absmax(ln_context& context, const float* absmax, int64_t n, int64_t nested_block,
                     const float* nested_code, uint8_t* codes, float* nested_absmax, float* offset,
                     const Checker& check) {
  using namespace cuda;
  Notice* const notice = reinterpret_cast<Notice*>(context.backend->notice);
  reset_notice(context);
  launch(context, "ln_quantize_absmax", check_scales, blocks_for(n, kThreads, 1024), kThreads, 0, absmax, n,
         nested_code, notice);
  launch(context, "ln_quantize_absmax", mean_of_scales, 1, kWarp, 0, absmax, n, offset, notice);
  const uint64_t bad = read_notice(context);
  if (bad == kBadMean) check.fail(LN_INVALID_ARGUMENT, "the mean of absmax is not finite");
  if (bad < kBadEntry) check.fail(LN_INVALID_ARGUMENT, "absmax[" + std::to_string(bad) + "] is NaN or infinite");
  if (bad != kNothing) {
    const uint32_t bits = static_cast<uint32_t>(bad);
    float entry;
    std::memcpy(&entry, &bits, sizeof(entry));
    check.fail(LN_INVALID_ARGUMENT, "nested_code[" + std::to_string((bad - kBadEntry) >> 32) + "] is " +
                                        std::to_string(entry) + ", must be finite and not below the entry before it");
  }
  launch(context, "ln_quantize_absmax", quantize_scales, blocks_for(n, nested_block), kThreads, 0, absmax, n,
         nested_block, nested_code, offset, codes, nested_absmax);
}

void dequantize(ln_context& context, const ln_quantized* weight, int32_t type, int64_t first, int64_t count, void* dst,
                int32_t dst_dtype, const Checker&) {
  using namespace cuda;
  if (dst_dtype == LN_F32) return dequantize_to<LN_F32>(context, weight, type, first, count, dst);
  if (dst_dtype == LN_BF16) return dequantize_to<LN_BF16>(context, weight, type, first, count, dst);
  dequantize_to<LN_F16>(context, weight, type, first, count, dst);
}

}  // namespace ln::backend
