// The router of a mixture of experts.
//
// Forward: one warp per token, expert e in lane e % 32. Up to 1024 experts the logits stay in registers and each choice
// is one maximum over the warp of 64-bit keys (logit in an order-preserving code, then the lower number); beyond that a
// choice is one pass over the logits. Bound by latency of the shuffles, not by bytes: Qwen3-30B-A3B's 8192 x 128 logits
// are 4 MiB in and out. Counts are integer atomics. The sums of probabilities and squares are sums of columns in
// float64 in an order that depends on the number of tokens alone (column_sums.hpp), of numbers that lie in L2.
//
// Backward: one warp per token; a lane keeps the gradients of its experts in dlogits. The loss: one block.
// Ids outside the experts, which only a caller can have put there, get no gradient.
#include "column_sums.hpp"
#include "reduce.cuh"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kTokensOfBlock = kThreads / kWarp;

/// Rises with the logit; among equals (0 and -0, NaN and -infinity) with the smaller number. Above 0.
__device__ __forceinline__ uint64_t choice_key(float logit, int32_t expert) {
  const float value = logit == logit ? __fadd_rn(logit, 0.0f) : -INFINITY;  // -0 + 0 is 0
  const uint32_t bits = __float_as_uint(value);
  const uint32_t rising = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(rising) << 32 | (0xffffffffu - static_cast<uint32_t>(expert));
}

__device__ __forceinline__ int32_t expert_of(uint64_t key) {
  return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(key));
}

__device__ __forceinline__ float logit_of(uint64_t key) {
  const uint32_t rising = static_cast<uint32_t>(key >> 32);
  return __uint_as_float((rising >> 31) != 0 ? rising & 0x7fffffffu : ~rising);
}

__device__ __forceinline__ uint64_t warp_max_key(uint64_t key) {
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const uint64_t other = __shfl_xor_sync(kAllLanes, key, lanes);
    if (other > key) key = other;
  }
  return key;
}

/// Logits of a token in registers: slot s of a lane is expert lane + 32 s.
template <int kSlots>
class KeptLogits {
 public:
  __device__ __forceinline__ KeptLogits(const float* logits, int64_t experts, int lane) {
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
      const int64_t e = lane + int64_t{s} * kWarp;
      at_[s] = e < experts ? logits[e] : 0;
      open_ |= (e < experts ? 1u : 0u) << s;
    }
  }
  /// Largest key among this lane's experts not chosen yet, 0 without any.
  __device__ __forceinline__ uint64_t best(uint64_t, int lane) const {
    uint64_t key = 0;
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
      const uint64_t candidate = choice_key(at_[s], lane + s * kWarp);
      if ((open_ >> s & 1) != 0 && candidate > key) key = candidate;
    }
    return key;
  }
  __device__ __forceinline__ void take(int32_t expert, int lane) {
    if (expert % kWarp == lane) open_ &= ~(1u << (expert / kWarp));
  }
  template <typename Visitor>
  __device__ __forceinline__ void visit(int64_t experts, int lane, Visitor& visitor) const {
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
      const int64_t e = lane + int64_t{s} * kWarp;
      if (e < experts) visitor(e, at_[s]);
    }
  }

 private:
  float at_[kSlots];
  uint32_t open_ = 0;
};

/// Logits of any number of experts, read again for every use.
template <>
class KeptLogits<0> {
 public:
  __device__ __forceinline__ KeptLogits(const float* logits, int64_t experts, int)
      : logits_(logits), experts_(experts) {}
  /// Largest key below `last`, the one chosen before: keys are distinct.
  __device__ __forceinline__ uint64_t best(uint64_t last, int lane) const {
    uint64_t key = 0;
    for (int64_t e = lane; e < experts_; e += kWarp) {
      const uint64_t candidate = choice_key(logits_[e], static_cast<int32_t>(e));
      if (candidate < last && candidate > key) key = candidate;
    }
    return key;
  }
  __device__ __forceinline__ void take(int32_t, int) {}
  template <typename Visitor>
  __device__ __forceinline__ void visit(int64_t experts, int lane, Visitor& visitor) const {
    for (int64_t e = lane; e < experts; e += kWarp) visitor(e, logits_[e]);
  }

 private:
  const float* logits_;
  int64_t experts_;
};

struct Largest {
  float value = -INFINITY;
  __device__ __forceinline__ void operator()(int64_t, float x) { value = x > value ? x : value; }  // NaN is passed over
};

struct ExponentialSum {
  float largest, value = 0;
  __device__ __forceinline__ void operator()(int64_t, float x) { value += expf(x - largest); }
};

struct Normalise {
  float largest, inverse;
  float* probabilities;
  __device__ __forceinline__ void operator()(int64_t e, float x) { probabilities[e] = expf(x - largest) * inverse; }
};

template <int kSlots>
__global__ void __launch_bounds__(kThreads, 2) route(ln_router_fwd_args args) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t step = int64_t{gridDim.x} * kTokensOfBlock;
  for (int64_t t = int64_t{blockIdx.x} * kTokensOfBlock + threadIdx.x / kWarp; t < args.tokens; t += step) {
    KeptLogits<kSlots> logits(args.logits + t * args.experts, args.experts, lane);
    Largest largest;
    logits.visit(args.experts, lane, largest);
    largest.value = warp_max(largest.value);
    ExponentialSum total{largest.value};
    logits.visit(args.experts, lane, total);
    total.value = warp_sum(total.value);
    const float inverse = 1 / total.value;

    // Every lane knows every choice; lane j % 32 writes the j-th.
    uint64_t key = ~uint64_t{0};
    float chosen = 0;
    for (int64_t j = 0; j < args.top_k; ++j) {
      key = warp_max_key(logits.best(key, lane));
      const int32_t expert = expert_of(key);
      logits.take(expert, lane);
      const float weight = expf(logit_of(key) - largest.value) * inverse;
      chosen += weight;
      if (lane != j % kWarp) continue;
      args.ids[t * args.top_k + j] = expert;
      args.weights[t * args.top_k + j] = weight;
      if (args.counts != nullptr) atomicAdd(reinterpret_cast<unsigned long long*>(args.counts + expert), 1ull);
    }
    if (args.renormalise == 1) {
      for (int64_t j = lane; j < args.top_k; j += kWarp) args.weights[t * args.top_k + j] /= chosen;
    }
    // Last, because the probabilities may take the place of the logits.
    Normalise normalise{largest.value, inverse, args.probabilities + t * args.experts};
    logits.visit(args.experts, lane, normalise);
    if (args.log_sum_exp != nullptr && lane == 0) args.log_sum_exp[t] = largest.value + logf(total.value);
  }
}

struct ProbabilitySums {
  using Sum = double;
  const float* probabilities;
  double* sums;
  int64_t experts;

  __device__ __forceinline__ double value(int64_t token, int64_t expert) const {
    return static_cast<double>(probabilities[token * experts + expert]);
  }
  __device__ __forceinline__ void finish(int64_t expert, double total) const { sums[expert] += total; }
};

struct SquareSum {
  using Sum = double;
  const float* log_sum_exp;
  double* sum;

  __device__ __forceinline__ double value(int64_t token, int64_t) const {
    const double x = static_cast<double>(log_sum_exp[token]);
    return x * x;
  }
  __device__ __forceinline__ void finish(int64_t, double total) const { *sum += total; }
};

__global__ void __launch_bounds__(kThreads, 2) route_backward(ln_router_bwd_args args) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t step = int64_t{gridDim.x} * kTokensOfBlock;
  for (int64_t t = int64_t{blockIdx.x} * kTokensOfBlock + threadIdx.x / kWarp; t < args.tokens; t += step) {
    const float* p = args.probabilities + t * args.experts;
    const int32_t* ids = args.ids + t * args.top_k;
    const float* weights = args.weights + t * args.top_k;
    const float* dweights = args.dweights + t * args.top_k;
    float* dp = args.dlogits + t * args.experts;  // gradient of the probabilities until the last loop
    const auto known = [&](int32_t id) { return id >= 0 && id < args.experts; };
    // w_j = p_j / s has dp_j = (dw_j - sum_i dw_i w_i) / s.
    float common = 0, chosen = 1;
    if (args.renormalise == 1) {
      float dot = 0, sum = 0;
      for (int64_t j = lane; j < args.top_k; j += kWarp) {
        dot += dweights[j] * weights[j];
        sum += known(ids[j]) ? p[ids[j]] : 0.0f;
      }
      common = warp_sum(dot);
      chosen = warp_sum(sum);
    }
    for (int64_t e = lane; e < args.experts; e += kWarp) {
      dp[e] = args.dprobabilities == nullptr ? 0.0f : args.dprobabilities[e];
    }
    // A lane adds to its own experts only.
    for (int64_t j = 0; j < args.top_k; ++j) {
      const int32_t id = ids[j];
      if (known(id) && id % kWarp == lane) dp[id] += (dweights[j] - common) / chosen;
    }
    float mean = 0;
    for (int64_t e = lane; e < args.experts; e += kWarp) mean += p[e] * dp[e];
    mean = warp_sum(mean);
    const float z = args.log_sum_exp == nullptr ? 0.0f : args.z_scale * args.log_sum_exp[t];
    for (int64_t e = lane; e < args.experts; e += kWarp) dp[e] = p[e] * (dp[e] - mean + z);
  }
}

__global__ void __launch_bounds__(kThreads, 2)
    balancing_loss(const int64_t* counts, const double* probability_sums, int64_t experts, double rows,
                   double coefficient, double* loss, float* dprobabilities) {
  __shared__ double partial[kThreads / kWarp];
  double total = 0;
  for (int64_t e = threadIdx.x; e < experts; e += kThreads) {
    const double share = static_cast<double>(counts[e]) / rows;
    total += share * (probability_sums[e] / rows);
    if (dprobabilities == nullptr) continue;
    dprobabilities[e] = static_cast<float>(coefficient * static_cast<double>(experts) * share / rows);
  }
  total = block_sum(total, partial);
  if (threadIdx.x == 0) *loss = static_cast<double>(experts) * total;
}

auto route_for(int64_t experts) {
  if (experts <= 32) return route<1>;
  if (experts <= 64) return route<2>;
  if (experts <= 128) return route<4>;
  if (experts <= 256) return route<8>;
  if (experts <= 512) return route<16>;
  if (experts <= 1024) return route<32>;
  return route<0>;
}

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void router_fwd(ln_context& context, const ln_router_fwd_args& args) {
  using namespace cuda;
  launch(context, "ln_router_fwd", route_for(args.experts), blocks_for(args.tokens, kTokensOfBlock), kThreads, 0, args);
  if (args.square_sum != nullptr) {
    launch_column_sums(context, "ln_router_fwd", SquareSum{args.log_sum_exp, args.square_sum}, args.tokens, 1);
  }
  if (args.probability_sums != nullptr) {
    launch_column_sums(context, "ln_router_fwd",
                       ProbabilitySums{args.probabilities, args.probability_sums, args.experts}, args.tokens,
                       args.experts);
  }
}

void router_bwd(ln_context& context, const ln_router_bwd_args& args) {
  using namespace cuda;
  launch(context, "ln_router_bwd", route_backward, blocks_for(args.tokens, kTokensOfBlock), kThreads, 0, args);
}

void load_balancing_loss(ln_context& context, const int64_t* counts, const double* probability_sums, int64_t experts,
                         int64_t router_rows, float coefficient, double* loss, float* dprobabilities) {
  using namespace cuda;
  launch(context, "ln_load_balancing_loss", balancing_loss, 1, kThreads, 0, counts, probability_sums, experts,
         static_cast<double>(router_rows), static_cast<double>(coefficient), loss, dprobabilities);
}

}  // namespace ln::backend
