#include "quantize.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <string>

#include "cpu_backend.hpp"
#include "quantized_check.hpp"

namespace ln::backend {

namespace {

constexpr int kLanes = 8, kRows = 4, kLevels = 4;

/// Rising levels of partial sums, each taking over the one below when it has gathered `step` values of it.
struct Cascade {
  float level[kLevels][kRows][kLanes] = {};

  void add(const float* x) {
    for (int r = 0; r < kRows; ++r) {
      for (int i = 0; i < kLanes; ++i) level[0][r][i] += x[r * kLanes + i];
    }
  }
  void carry(int to) {
    for (int r = 0; r < kRows; ++r) {
      for (int i = 0; i < kLanes; ++i) {
        level[to][r][i] += level[to - 1][r][i];
        level[to - 1][r][i] = 0;
      }
    }
  }
};

/// The order of torch's float32 sum on x86 with one thread: 8 lanes, 4 accumulators, cascades of 4 levels.
float sum_as_torch(const float* x, int64_t n) {
  constexpr int64_t kStride = kLanes * kRows;
  const int64_t steps = n / kStride, vectors = n / kLanes;
  const int width = static_cast<int>(std::bit_width(static_cast<uint64_t>(std::max<int64_t>(steps, 1)) - 1));
  const int power = std::max(4, width / kLevels);
  const int64_t step = int64_t{1} << power;
  Cascade cascade;
  int64_t i = 0;
  while (i + step <= steps) {
    for (int64_t end = i + step; i < end; ++i) cascade.add(x + i * kStride);
    for (int level = 1; level < kLevels; ++level) {
      cascade.carry(level);
      if ((i & ((step - 1) << (level * power))) != 0) break;
    }
  }
  for (; i < steps; ++i) cascade.add(x + i * kStride);
  for (int level = 1; level < kLevels; ++level) {
    for (int r = 0; r < kRows; ++r) {
      for (int lane = 0; lane < kLanes; ++lane) cascade.level[0][r][lane] += cascade.level[level][r][lane];
    }
  }
  auto& sums = cascade.level[0];
  for (int64_t v = steps * kRows; v < vectors; ++v) {
    for (int lane = 0; lane < kLanes; ++lane) sums[0][lane] += x[v * kLanes + lane];
  }
  for (int r = 1; r < kRows; ++r) {
    for (int lane = 0; lane < kLanes; ++lane) sums[0][lane] += sums[r][lane];
  }
  float total = 0;
  for (int64_t k = vectors * kLanes; k < n; ++k) total += x[k];
  for (float lane : sums[0]) total += lane;
  return total;
}

/// The number of the entry nearest to x, the even one where two are as near; 0 for NaN.
uint8_t nearest(const float* code, float x) {
  if (std::isnan(x)) return 0;
  int64_t above = 0;  // entries before it are below x; no branch depends on x
  for (int64_t half = 128; half > 0; half /= 2) above += code[above + half - 1] < x ? half : 0;
  above = std::max<int64_t>(above, 1);
  const float middle = (code[above - 1] + code[above]) * 0.5f;
  const bool up = x == middle ? above % 2 == 0 : x > middle;
  return static_cast<uint8_t>(up ? above : above - 1);
}

void quantize_nested_block(const float* absmax, int64_t count, float offset, const float* code, uint8_t* codes,
                           float* nested_absmax) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(absmax[i] - offset));
  *nested_absmax = largest;
  const float reciprocal = 1.0f / largest;
  for (int64_t i = 0; i < count; ++i) codes[i] = nearest(code, (absmax[i] - offset) * reciprocal);
}

}  // namespace

void quantize(ln_context& context, const void* src, int32_t src_dtype, int64_t n, int32_t type, int64_t block,
              uint8_t* codes, float* absmax, const Checker& check) {
  const cpu::QuantizeKernels& kernels = cpu::quantize_kernels(cpu::tier(context));
  std::atomic<int64_t> bad{n};
  cpu::pool(context).ranges((n + block - 1) / block, cpu::rows_per_task(block), [&](int64_t first, int64_t last, int) {
    const int64_t found = kernels.quantize(src, src_dtype, n, type, block, first, last, codes, absmax);
    int64_t known = bad.load(std::memory_order_relaxed);
    while (found < known && !bad.compare_exchange_weak(known, found, std::memory_order_relaxed)) {
    }
  });
  if (bad < n) check.fail(LN_INVALID_ARGUMENT, "src[" + std::to_string(bad) + "] is NaN or infinite");
}

void quantize_absmax(ln_context& context, const float* absmax, int64_t n, int64_t nested_block,
                     const float* nested_code, uint8_t* codes, float* nested_absmax, float* offset,
                     const Checker& check) {
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(absmax[i]))
      check.fail(LN_INVALID_ARGUMENT, "absmax[" + std::to_string(i) + "] is NaN or infinite");
  }
  for (int i = 0; i < 256; ++i) {
    if (!std::isfinite(nested_code[i]) || (i > 0 && nested_code[i] < nested_code[i - 1])) {
      check.fail(LN_INVALID_ARGUMENT, "nested_code[" + std::to_string(i) + "] is " + std::to_string(nested_code[i]) +
                                          ", must be finite and not below the entry before it");
    }
  }
  const float mean = sum_as_torch(absmax, n) / static_cast<float>(n);
  check.finite("the mean of absmax", static_cast<double>(mean));
  *offset = mean;
  cpu::pool(context).ranges((n + nested_block - 1) / nested_block, cpu::rows_per_task(nested_block),
                            [&](int64_t first, int64_t last, int) {
                              for (int64_t b = first; b < last; ++b) {
                                const int64_t at = b * nested_block;
                                quantize_nested_block(absmax + at, std::min(nested_block, n - at), mean, nested_code,
                                                      codes + at, nested_absmax + b);
                              }
                            });
}

void dequantize(ln_context& context, const ln_quantized* weight, int32_t type, int64_t first, int64_t count, void* dst,
                int32_t dst_dtype, const Checker& check) {
  cpu::require_quantized(check, "weight", *weight);
  if (count > weight->elements || first > weight->elements - count) {
    check.fail(LN_INVALID_ARGUMENT, "elements " + std::to_string(first) + " + " + std::to_string(count) +
                                        " are outside the weight's " + std::to_string(weight->elements));
  }
  const cpu::QuantizeKernels& kernels = cpu::quantize_kernels(cpu::tier(context));
  const int64_t bytes = dtype_bytes(dst_dtype);
  cpu::pool(context).ranges(count, cpu::kElementsPerTask, [&](int64_t from, int64_t to, int) {
    kernels.dequantize(*weight, type, first + from, to - from, static_cast<char*>(dst) + from * bytes, dst_dtype);
  });
}

}  // namespace ln::backend
