// Softmax cross-entropy, one block per row: a first pass keeps the largest logit and the sum of exponentials relative
// to it, in float32 per thread and float64 across threads; a second one writes the gradient in place. Four logits at a
// time where rows are whole quads. A row without a label is not read. Bound by bytes: 4 per logit for the loss, 12 with
// the gradient (a row of a large vocabulary is out of the cache until the second pass; of a small one it is 8).
//
// A label outside of the vocabulary, which the CPU library refuses, gives NaN as loss and gradient.
#include "cuda_backend.hpp"
#include "reduce.cuh"

namespace ln::cuda {

namespace {

constexpr int32_t kIgnored = -100;
constexpr int kMostThreads = 1024;

struct CrossEntropy {
  float* logits;
  const int32_t* labels;
  float* losses;
  int64_t rows, vocabulary;
  float gradient_scale;
  bool want_gradient;
};

/// Calls body(element, number) for the row's logits in turns of threads, kQuads: four at a time.
template <bool kQuads, typename Body>
__device__ __forceinline__ void for_each_quad(int64_t count, const Body& body) {
  for (int64_t i = int64_t{threadIdx.x} * (kQuads ? 4 : 1); i < count; i += int64_t{blockDim.x} * (kQuads ? 4 : 1)) {
    body(i);
  }
}

/// exp(x - base) of a thread's logits, summed in four parts so that none is a long chain.
struct OnlineSum {
  float largest = -INFINITY, parts[4] = {0, 0, 0, 0};

  __device__ __forceinline__ float base() const { return largest == -INFINITY ? 0.0f : largest; }
  __device__ __forceinline__ void raise(float x) {
    if (!(x > largest)) return;
    const float shrink = expf(largest - x);
    largest = x;
    for (float& part : parts) part *= shrink;
  }
  __device__ __forceinline__ float total() const { return (parts[0] + parts[1]) + (parts[2] + parts[3]); }
};

template <bool kQuads>
__device__ __forceinline__ OnlineSum sum_row(const float* row, int64_t count) {
  OnlineSum sum;
  if constexpr (kQuads) {
    for_each_quad<true>(count, [&](int64_t i) {
      const float4 x = *reinterpret_cast<const float4*>(row + i);
      sum.raise(fmaxf(fmaxf(x.x, x.y), fmaxf(x.z, x.w)));
      const float base = sum.base();
      sum.parts[0] += expf(x.x - base);
      sum.parts[1] += expf(x.y - base);
      sum.parts[2] += expf(x.z - base);
      sum.parts[3] += expf(x.w - base);
    });
  } else {
    const int64_t step = blockDim.x;
    for (int64_t first = threadIdx.x; first < count; first += 4 * step) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t i = first + e * step;
        if (i >= count) break;
        sum.raise(row[i]);
        sum.parts[e] += expf(row[i] - sum.base());
      }
    }
  }
  return sum;
}

template <bool kQuads>
__device__ __forceinline__ void write_gradient(float* row, int64_t count, int64_t label, float base, float inverse,
                                               float scale) {
  const auto gradient = [&](float x, int64_t i) {
    return scale * (expf(x - base) * inverse - (i == label ? 1.0f : 0.0f));
  };
  if constexpr (kQuads) {
    for_each_quad<true>(count, [&](int64_t i) {
      float4& at = *reinterpret_cast<float4*>(row + i);
      const float4 x = at;
      at = make_float4(gradient(x.x, i), gradient(x.y, i + 1), gradient(x.z, i + 2), gradient(x.w, i + 3));
    });
  } else {
    for_each_quad<false>(count, [&](int64_t i) { row[i] = gradient(row[i], i); });
  }
}

template <bool kQuads>
__device__ __forceinline__ void fill_row(float* row, int64_t count, float value) {
  if constexpr (kQuads) {
    for_each_quad<true>(
        count, [&](int64_t i) { *reinterpret_cast<float4*>(row + i) = make_float4(value, value, value, value); });
  } else {
    for_each_quad<false>(count, [&](int64_t i) { row[i] = value; });
  }
}

template <bool kQuads>
__global__ void __launch_bounds__(kMostThreads) cross_entropy_rows(CrossEntropy args) {
  __shared__ float largest_of[kMostThreads / kWarp];
  __shared__ double partial[kMostThreads / kWarp];
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  for (int64_t r = blockIdx.x; r < args.rows; r += gridDim.x) {
    float* const row = args.logits + r * args.vocabulary;
    const int64_t label = args.labels[r];
    if (label < 0 || label >= args.vocabulary) {
      const float value = label == kIgnored ? 0.0f : NAN;
      if (args.want_gradient) fill_row<kQuads>(row, args.vocabulary, value);
      if (threadIdx.x == 0) args.losses[r] = value;
      continue;
    }
    const OnlineSum sum = sum_row<kQuads>(row, args.vocabulary);
    float largest = warp_max(sum.largest);
    if (threadIdx.x % kWarp == 0) largest_of[threadIdx.x / kWarp] = largest;
    __syncthreads();
    for (int w = 0; w < warps; ++w) largest = fmaxf(largest, largest_of[w]);
    const float base = largest == -INFINITY ? 0.0f : largest;
    const double total = block_sum(static_cast<double>(sum.total()) * static_cast<double>(expf(sum.largest - base)),
                                   partial);  // ends after a barrier: largest_of may be used again
    const float logit = row[label];
    if (threadIdx.x == 0) {
      args.losses[r] = static_cast<float>(log(total) + (static_cast<double>(largest) - static_cast<double>(logit)));
    }
    if (!args.want_gradient) continue;
    __syncthreads();  // the label's logit has been read
    write_gradient<kQuads>(row, args.vocabulary, label, base, static_cast<float>(1.0 / total), args.gradient_scale);
  }
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void cross_entropy(ln_context& context, float* logits, const int32_t* labels, float* losses, int64_t rows,
                   int64_t vocabulary, float gradient_scale, bool want_gradient, const Checker&) {
  using namespace cuda;
  const bool quads = vocabulary % 4 == 0 && reinterpret_cast<uintptr_t>(logits) % sizeof(float4) == 0;
  const int threads = vocabulary >= 16384 ? kMostThreads : vocabulary >= 1024 ? 256 : 64;
  launch(context, "ln_cross_entropy", quads ? cross_entropy_rows<true> : cross_entropy_rows<false>, blocks_for(rows, 1),
         threads, 0, CrossEntropy{logits, labels, losses, rows, vocabulary, gradient_scale, want_gradient});
}

}  // namespace ln::backend
