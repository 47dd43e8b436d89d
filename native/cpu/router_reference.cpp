#include <cmath>
#include <limits>

#include "router.hpp"

namespace ln::cpu::reference {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float rank_key(float logit) { return std::isnan(logit) ? -kInfinity : logit; }

// The best expert that comes after (key, id) in the order "larger key first, then lower number".
int32_t next_best(const float* logits, int64_t experts, float key, int32_t id) {
  int32_t best = -1;
  for (int32_t e = 0; e < experts; ++e) {
    const float candidate = rank_key(logits[e]);
    const bool after = candidate < key || (candidate == key && e > id);
    if (after && (best < 0 || candidate > rank_key(logits[best]))) best = e;
  }
  return best;
}

/// The logarithm of the sum of the exponentials.
float softmax(const float* x, float* y, int64_t n) {
  float largest = -kInfinity;
  for (int64_t i = 0; i < n; ++i) {
    if (x[i] > largest) largest = x[i];
  }
  float total = 0;
  for (int64_t i = 0; i < n; ++i) {
    y[i] = std::exp(x[i] - largest);
    total += y[i];
  }
  for (int64_t i = 0; i < n; ++i) y[i] /= total;
  return largest + std::log(total);
}

void forward(const float* logits, float* probabilities, int32_t* ids, float* weights, float* log_sum_exp,
             int64_t tokens, int64_t experts, int64_t top_k, bool renormalise) {
  for (int64_t t = 0; t < tokens; ++t) {
    const float* x = logits + t * experts;
    float* p = probabilities + t * experts;
    int32_t* id = ids + t * top_k;
    float* weight = weights + t * top_k;
    float key = kInfinity;
    int32_t last = -1;
    for (int64_t j = 0; j < top_k; ++j) {
      id[j] = last = next_best(x, experts, key, last);
      key = rank_key(x[last]);
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
    // w_j = p_j / s has dp_j = (dw_j - sum_i dw_i w_i) / s.
    float common = 0, chosen = 1;
    if (renormalise) {
      chosen = 0;
      for (int64_t j = 0; j < top_k; ++j) {
        common += dweight[j] * weight[j];
        chosen += p[id[j]];
      }
    }
    for (int64_t e = 0; e < experts; ++e) dp[e] = dprobabilities == nullptr ? 0 : dprobabilities[e];
    for (int64_t j = 0; j < top_k; ++j) dp[id[j]] += (dweight[j] - common) / chosen;
    float mean = 0;
    for (int64_t e = 0; e < experts; ++e) mean += p[e] * dp[e];
    const float z = log_sum_exp == nullptr ? 0 : z_scale * log_sum_exp[t];
    for (int64_t e = 0; e < experts; ++e) dp[e] = p[e] * (dp[e] - mean + z);
  }
}

}  // namespace

const RouterKernels& router_kernels() {
  static const RouterKernels kernels = {forward, backward};
  return kernels;
}

}  // namespace ln::cpu::reference
