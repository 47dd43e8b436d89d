#include "attention_cases.hpp"

namespace ln::test {
namespace {

TEST(AttentionGradient, EqualsItsDefinitionOnEveryTier) {
  for (const AttentionShape& shape : attention_shapes()) {
    AttentionOracle oracle = AttentionCase(shape).oracle();
    oracle.backward();
    for (int32_t simd : tiers()) {
      AttentionCase c(shape);
      c.run(simd, 2);
      const std::string what = " of " + shape.text() + " " + simd_name(simd);
      // The floor: a query that sees one key alone has a gradient of 0 that float32 meets only nearly.
      expect_close(c.dq, oracle.dq, c.dq.size(), 2e-6, "dq" + what, 1);
      expect_close(c.dk, oracle.dk, c.dk.size(), 2e-6, "dk" + what, 1);
      expect_close(c.dv, oracle.dv, c.dv.size(), 2e-6, "dv" + what);
    }
  }
}

/// Central differences of the float64 forward pass by every input.
TEST(AttentionGradient, EqualsFiniteDifferences) {
  const std::vector<AttentionShape> shapes = {{{5}, {5}, 2, 1, 3, 0},
                                              {{3, 4}, {3, 4}, 2, 2, 2, 0},
                                              {{6}, {6}, 2, 1, 3, 2},
                                              {{2, 1}, {5, 3}, 4, 2, 2, 0},
                                              {{3}, {7}, 2, 1, 2, 3}};
  for (const AttentionShape& shape : shapes) {
    AttentionOracle oracle = AttentionCase(shape).oracle();
    const auto differences = [&](std::vector<double>& input) {
      const double h = 1e-5;
      std::vector<double> gradient;
      for (double& value : input) {
        const double kept = value;
        value = kept + h;
        const double above = oracle.loss();
        value = kept - h;
        gradient.push_back((above - oracle.loss()) / (2 * h));
        value = kept;
      }
      return gradient;
    };
    const std::vector<double> dq = differences(oracle.q), dk = differences(oracle.k), dv = differences(oracle.v);
    for (int32_t simd : tiers()) {
      AttentionCase c(shape);
      c.run(simd, 1);
      const std::string what = " of " + shape.text() + " " + simd_name(simd);
      expect_close(c.dq, dq, c.dq.size(), 2e-6, "dq" + what, 0.1);
      expect_close(c.dk, dk, c.dk.size(), 2e-6, "dk" + what, 0.1);
      expect_close(c.dv, dv, c.dv.size(), 2e-6, "dv" + what, 0.1);
    }
  }
}

TEST(AttentionGradient, BytesDoNotDependOnThreads) {
  for (const AttentionShape& shape : attention_shapes()) {
    if (shape.queries.size() < 3) continue;
    for (int32_t simd : tiers()) {
      AttentionCase one(shape);
      one.run(kCpu ? simd : 0, 1);
      // Of emulated kernels the schedules must give the same bytes.
      for (int threads : kCpu ? std::vector<int>{2, 3} : std::vector<int>{1}) {
        if (!kCpu && simd == 0) continue;
        AttentionCase other(shape);
        other.run(simd, threads);
        const std::string what = " of " + shape.text() + " " + simd_name(simd) + " threads " + std::to_string(threads);
        expect_identical(other.o.data(), one.o.data(), one.o.size(), "o" + what);
        expect_identical(other.lse.data(), one.lse.data(), one.lse.size(), "lse" + what);
        expect_identical(other.dq.data(), one.dq.data(), one.dq.size(), "dq" + what);
        expect_identical(other.dk.data(), one.dk.data(), one.dk.size(), "dk" + what);
        expect_identical(other.dv.data(), one.dv.data(), one.dv.size(), "dv" + what);
      }
    }
  }
}

/// One thread takes sequences whole, many threads share the tiles of a few heads: another order of products, the same
/// sums.
TEST(AttentionGradient, SharedTilesGiveTheBytesOfWholeSequences) {
  std::vector<AttentionShape> shapes = {{{200}, {200}, 4, 1, 64, 0},
                                        {{130}, {130}, 2, 1, 80, 40},
                                        {{70, 3}, {150, 80}, 2, 1, 33, 0},
                                        {{90}, {203}, 3, 1, 32, 65}};
  for (const AttentionShape& shape : shapes) {
    for (int32_t simd : tiers()) {
      AttentionCase whole(shape), shared(shape);
      whole.run(simd, 1);
      shared.run(simd, 8);
      const std::string what = " of " + shape.text() + " " + simd_name(simd);
      expect_identical(shared.dq.data(), whole.dq.data(), whole.dq.size(), "dq" + what);
      expect_identical(shared.dk.data(), whole.dk.data(), whole.dk.size(), "dk" + what);
      expect_identical(shared.dv.data(), whole.dv.data(), whole.dv.size(), "dv" + what);
    }
  }
}

/// Keys that no query sees, be it by the window or because their sequence has no queries, get a gradient of exactly 0.
TEST(AttentionGradient, UnseenKeysGetZero) {
  for (int32_t simd : tiers()) {
    AttentionCase c({{2, 0}, {200, 3}, 2, 1, 8, 4});
    c.run(simd, 2);
    for (int64_t token = 0; token < 203; ++token) {
      if (token >= 195 && token < 200) continue;
      for (int64_t i = token * 8; i < (token + 1) * 8; ++i) {
        ASSERT_EQ(0, c.dk[i]) << simd_name(simd) << " key " << token;
        ASSERT_EQ(0, c.dv[i]) << simd_name(simd) << " key " << token;
      }
    }
  }
}

}  // namespace
}  // namespace ln::test
