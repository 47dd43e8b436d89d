// Experts beyond what a warp keeps in registers, at the edges of the register variants, and ids that a GPU cannot
// refuse.
#include <algorithm>
#include <numeric>

#include "harness.hpp"

namespace ln::test {
namespace {

TEST(CudaRouter, EveryVariantRoutesAlike) {
  for (int64_t experts : {32, 33, 64, 65, 128, 129, 256, 512, 513, 1024, 1025, 2000}) {
    for (int32_t schedule : tiers()) {
      constexpr int64_t tokens = 9, top_k = 7;
      Random random(5);
      Guarded<float> logits(tokens * experts, random), weights(tokens * top_k), log_sums(tokens);
      for (int64_t i = 0; i < logits.size(); ++i) logits[i] = std::round(logits[i] * 40) / 8;  // many ties
      logits[3] = -INFINITY;
      Guarded<float> probabilities(logits);  // in place
      Guarded<int32_t> ids(tokens * top_k);
      Guarded<int64_t> counts(experts);
      Guarded<double> sums(experts);
      double square_sum = 0;
      const ln_router_fwd_args args = {probabilities, probabilities, ids,     weights, counts, sums, log_sums,
                                       &square_sum,   tokens,        experts, top_k,   1,      0};
      ASSERT_EQ(LN_OK, ln_router_fwd(Context(schedule), &args));
      std::vector<int64_t> expected_counts(static_cast<size_t>(experts));
      std::vector<double> expected_sums(static_cast<size_t>(experts));
      for (int64_t t = 0; t < tokens; ++t) {
        const float* x = logits.data() + t * experts;
        std::vector<int32_t> order(static_cast<size_t>(experts));
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return x[a] > x[b]; });
        expect_identical(ids.data() + t * top_k, order.data(), top_k, "ids of " + std::to_string(experts));
        double total = 0, chosen = 0;
        for (int64_t e = 0; e < experts; ++e) total += std::exp(static_cast<double>(x[e]) - x[order[0]]);
        for (int64_t j = 0; j < top_k; ++j) {
          chosen += std::exp(static_cast<double>(x[order[j]]) - x[order[0]]);
          ++expected_counts[order[j]];
        }
        for (int64_t j = 0; j < top_k; ++j) {
          EXPECT_NEAR(std::exp(static_cast<double>(x[order[j]]) - x[order[0]]) / chosen, weights[t * top_k + j], 1e-6);
        }
        for (int64_t e = 0; e < experts; ++e) {
          const double p = std::exp(static_cast<double>(x[e]) - x[order[0]]) / total;
          ASSERT_NEAR(p, probabilities[t * experts + e], 1e-6 * p + 1e-12);
          expected_sums[e] += p;
        }
        EXPECT_NEAR(x[order[0]] + std::log(total), log_sums[t], 2e-6);
      }
      expect_identical(counts.data(), expected_counts.data(), experts, "counts");
      expect_close(sums, expected_sums, experts, 1e-6, "sums");
    }
  }
}

TEST(CudaRouter, AnIdOutsideTheExpertsGetsNoGradient) {
  for (int32_t schedule : tiers()) {
    const float probabilities[4] = {0.1f, 0.2f, 0.3f, 0.4f}, weights[2] = {0.4f, 0.6f}, dweights[2] = {1, 2};
    const int32_t ids[2] = {3, 9}, known[1] = {3};
    float dlogits[4], expected[4];
    ln_router_bwd_args args = {probabilities, ids, weights, dweights, nullptr, nullptr, dlogits, 1, 4, 2, 0, 0};
    ASSERT_EQ(LN_OK, ln_router_bwd(Context(schedule), &args));
    args.ids = known;
    args.top_k = 1;
    args.dlogits = expected;
    ASSERT_EQ(LN_OK, ln_router_bwd(Context(schedule), &args));
    expect_identical(dlogits, expected, 4, "dlogits");
  }
}

}  // namespace
}  // namespace ln::test
