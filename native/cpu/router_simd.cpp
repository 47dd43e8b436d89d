#include "router.hpp"
#include "simd/math.hpp"

namespace ln::cpu::LN_TIER {

namespace {

constexpr int32_t kNone = 0x7fffffff;

LN_INLINE vf minus_infinity() { return broadcast(-__builtin_inff()); }

LN_INLINE vi lanes() {
  vi v;
  for (int i = 0; i < LN_WIDTH; ++i) v[i] = i;
  return v;
}

LN_INLINE vf load_row(const float* row, int64_t at, int64_t n) {
  return n - at >= kWidth ? load(row + at) : load_part(row + at, n - at);
}

LN_INLINE void store_row(float* row, int64_t at, int64_t n, vf v) {
  if (n - at >= kWidth) {
    store(row + at, v);
  } else {
    store_part(row + at, v, n - at);
  }
}

/// The best expert after (*key, *id) in the order "larger logit first, then lower number", NaN counting as -infinity.
LN_INLINE void next_best(const float* logits, int32_t experts, float* key, int32_t* id) {
  const vf last_key = broadcast(*key);
  vf best = minus_infinity();
  vi best_id = (vi){} + kNone;
  for (int32_t e = 0; e < experts; e += (int32_t)kWidth) {
    vf candidate = load_row(logits, e, experts);
    candidate = select(candidate == candidate, candidate, minus_infinity());
    const vi number = lanes() + e;
    const vi after = (candidate < last_key) | ((candidate == last_key) & (number > *id));
    const vi take = after & (number < experts) & ((candidate > best) | (best_id == kNone));
    best = select(take, candidate, best);
    best_id = (take & number) | (~take & best_id);
  }
  const float highest = max_lane(best);  // lanes without an expert hold -infinity
  const vi first = ((best == highest) & best_id) | (~(best == highest) & kNone);
  int32_t lane_id[LN_WIDTH];
  memcpy(lane_id, &first, sizeof(first));
  int32_t lowest = lane_id[0];
  for (int i = 1; i < LN_WIDTH; ++i) lowest = lane_id[i] < lowest ? lane_id[i] : lowest;
  *key = highest;
  *id = lowest;
}

/// The logarithm of the sum of the exponentials.
LN_INLINE float softmax(const float* x, float* y, int64_t n) {
  vf largest = minus_infinity();
  for (int64_t i = 0; i < n; i += kWidth) {
    const vf part = load_row(x, i, n);
    largest = max(select(lanes() < (int32_t)(n - i), part, minus_infinity()), largest);
  }
  const vf shift = broadcast(max_lane(largest));
  vf total = {};
  for (int64_t i = 0; i < n; i += kWidth) {
    const vf e = exp_of_negative(load_row(x, i, n) - shift);
    store_row(y, i, n, e);
    total += select(lanes() < (int32_t)(n - i), e, (vf){});
  }
  const vf divisor = broadcast(sum(total));
  for (int64_t i = 0; i < n; i += kWidth) store_row(y, i, n, load_row(y, i, n) / divisor);
  return shift[0] + __builtin_logf(divisor[0]);
}

void forward(const float* logits, float* probabilities, int32_t* ids, float* weights, float* log_sum_exp,
             int64_t tokens, int64_t experts, int64_t top_k, bool renormalise) {
  for (int64_t t = 0; t < tokens; ++t) {
    const float* x = logits + t * experts;
    float* p = probabilities + t * experts;
    int32_t* id = ids + t * top_k;
    float* weight = weights + t * top_k;
    float key = __builtin_inff();
    int32_t last = -1;
    for (int64_t j = 0; j < top_k; ++j) {
      next_best(x, (int32_t)experts, &key, &last);
      id[j] = last;
    }
    const float log_sum = softmax(x, p, experts);
    if (log_sum_exp != nullptr) log_sum_exp[t] = log_sum;
    float total = 0;
    for (int64_t j = 0; j < top_k; ++j) total += weight[j] = p[id[j]];
    for (int64_t j = 0; renormalise && j < top_k; ++j) weight[j] /= total;
  }
}

void backward(const float* probabilities, const int32_t* ids, const float* weights, const float* dweights,
              const float* dprobabilities, const float* log_sum_exp, float z_scale, float* dlogits, int64_t tokens,
              int64_t experts, int64_t top_k, bool renormalise) {
  for (int64_t t = 0; t < tokens; ++t) {
    const float* p = probabilities + t * experts;
    const int32_t* id = ids + t * top_k;
    const float* weight = weights + t * top_k;
    const float* dweight = dweights + t * top_k;
    float* dp = dlogits + t * experts;  // gradient of the probabilities until the last loop
    float common = 0, chosen = 1;
    if (renormalise) {
      chosen = 0;
      for (int64_t j = 0; j < top_k; ++j) {
        common += dweight[j] * weight[j];
        chosen += p[id[j]];
      }
    }
    for (int64_t e = 0; e < experts; e += kWidth) {
      store_row(dp, e, experts, dprobabilities == nullptr ? (vf){} : load_row(dprobabilities, e, experts));
    }
    for (int64_t j = 0; j < top_k; ++j) dp[id[j]] += (dweight[j] - common) / chosen;
    vf products = {};
    for (int64_t e = 0; e < experts; e += kWidth)
      products = fma(load_row(p, e, experts), load_row(dp, e, experts), products);
    const float z = log_sum_exp == nullptr ? 0 : z_scale * log_sum_exp[t];
    const vf mean = broadcast(sum(products) - z);
    for (int64_t e = 0; e < experts; e += kWidth) {
      store_row(dp, e, experts, load_row(p, e, experts) * (load_row(dp, e, experts) - mean));
    }
  }
}

}  // namespace

const RouterKernels& router_kernels() {
  static const RouterKernels kernels = {forward, backward};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
