#include "attention_cases.hpp"

namespace ln::test {
namespace {

TEST(Attention, ForwardEqualsItsDefinitionOnEveryTier) {
  for (const AttentionShape& shape : attention_shapes()) {
    AttentionOracle oracle = AttentionCase(shape).oracle();
    oracle.forward();
    for (int32_t simd : tiers()) {
      AttentionCase c(shape);
      Context context(simd, 2);
      const ln_attention_args args = c.args();
      context.reserve(LN_OP_ATTENTION_FWD, args);
      ASSERT_EQ(LN_OK, ln_attention_fwd(context, &args)) << context.error();
      const std::string what = shape.text() + " " + simd_name(simd);
      expect_close(c.o, oracle.o, c.o.size(), 1e-6, "o of " + what);
      expect_close(c.lse, oracle.lse, c.lse.size(), 1e-6, "lse of " + what, 1);
    }
  }
}

/// Scores of hundreds would overflow an exponential that is not shifted; the largest one comes first, last and in
/// between.
TEST(Attention, LargeScoresStayFinite) {
  const std::vector<AttentionShape> shapes = {
      {{150}, {150}, 2, 1, 16, 0}, {{150}, {150}, 2, 1, 16, 70}, {{1}, {150}, 3, 1, 16, 0}};
  for (const AttentionShape& shape : shapes) {
    for (int32_t simd : tiers()) {
      AttentionCase c(shape, 200);
      AttentionOracle oracle = c.oracle();
      oracle.forward();
      Context context(simd, 2);
      const ln_attention_args args = c.args();
      context.reserve(LN_OP_ATTENTION_FWD, args);
      ASSERT_EQ(LN_OK, ln_attention_fwd(context, &args)) << context.error();
      // Scores near 500 carry a rounding error of 3e-5, which the exponential turns into a relative one.
      expect_close(c.o, oracle.o, c.o.size(), 2e-4, "o of " + shape.text() + " " + simd_name(simd));
      expect_close(c.lse, oracle.lse, c.lse.size(), 1e-6, "lse of " + shape.text() + " " + simd_name(simd));
    }
  }
}

TEST(Attention, NaNIsNotHidden) {
  for (int32_t simd : tiers()) {
    for (int64_t queries : {1, 5}) {
      AttentionCase c({{queries}, {queries + 60}, 2, 1, 8, 0});
      c.k[3] = NAN;
      Context context(simd);
      const ln_attention_args args = c.args();
      context.reserve(LN_OP_ATTENTION_FWD, args);
      ASSERT_EQ(LN_OK, ln_attention_fwd(context, &args)) << context.error();
      for (int64_t i = 0; i < c.o.size(); ++i) ASSERT_TRUE(std::isnan(c.o[i])) << simd_name(simd);
    }
  }
}

/// A sequence's rows are those of the same sequence alone: nothing leaks over its borders.
TEST(Attention, PackedSequencesAreTheSameBytesAsSingleOnes) {
  const std::vector<int64_t> lengths = {17, 65, 1, 130};
  for (int32_t simd : tiers()) {
    AttentionCase packed({lengths, lengths, 4, 2, 24, 0});
    packed.run(simd, 2);
    int64_t first = 0;
    for (int64_t length : lengths) {
      AttentionCase alone({{length}, {length}, 4, 2, 24, 0});
      const int64_t query_at = first * 4 * 24, key_at = first * 2 * 24, query_size = length * 4 * 24,
                    key_size = length * 2 * 24;
      std::memcpy(alone.q, packed.q + query_at, static_cast<size_t>(query_size) * sizeof(float));
      std::memcpy(alone.dout, packed.dout + query_at, static_cast<size_t>(query_size) * sizeof(float));
      std::memcpy(alone.k, packed.k + key_at, static_cast<size_t>(key_size) * sizeof(float));
      std::memcpy(alone.v, packed.v + key_at, static_cast<size_t>(key_size) * sizeof(float));
      alone.run(simd, 1);
      const std::string what = std::string(simd_name(simd)) + " length " + std::to_string(length);
      expect_identical(packed.o.data() + query_at, alone.o.data(), query_size, "o " + what);
      expect_identical(packed.dq.data() + query_at, alone.dq.data(), query_size, "dq " + what);
      expect_identical(packed.dk.data() + key_at, alone.dk.data(), key_size, "dk " + what);
      expect_identical(packed.dv.data() + key_at, alone.dv.data(), key_size, "dv " + what);
      first += length;
    }
  }
}

TEST(Attention, ScratchDoesNotGrowWithTheSquareOfTheLength) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    for (int32_t op : {LN_OP_ATTENTION_FWD, LN_OP_ATTENTION_BWD}) {
      int64_t bytes[2] = {};
      for (int i = 0; i < 2; ++i) {
        ln_attention_args args = {};
        args.sequences = 1;
        args.query_tokens = args.key_tokens = 1024 << i;
        args.heads = args.key_heads = 4;
        args.head_dim = 64;
        ASSERT_EQ(LN_OK, ln_scratch_bytes(context, op, &args, &bytes[i])) << context.error();
      }
      EXPECT_LE(bytes[1] - bytes[0], 1024 * 64) << simd_name(simd);
    }
  }
}

TEST(Attention, RefusesBadArgumentsBeforeWriting) {
  Context context;
  AttentionCase c({{3, 4}, {5, 4}, 4, 2, 8, 0});
  const ln_attention_args good = c.args();
  context.reserve(LN_OP_ATTENTION_FWD, good);
  const auto refusal = [&](auto change) {
    ln_attention_args args = good;
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_attention_fwd(context, &args));
    return context.error();
  };
  using Args = ln_attention_args;
  EXPECT_EQ("ln_attention_fwd: sequences is -1, must be at least 0", refusal([](Args& a) { a.sequences = -1; }));
  EXPECT_EQ("ln_attention_fwd: query_tokens is -1, must be at least 0", refusal([](Args& a) { a.query_tokens = -1; }));
  EXPECT_EQ("ln_attention_fwd: key_tokens is 2147483648, must be at most 2147483647",
            refusal([](Args& a) { a.key_tokens = 1ll << 31; }));
  EXPECT_EQ("ln_attention_fwd: heads is 3, not a multiple of key_heads, 2", refusal([](Args& a) { a.heads = 3; }));
  EXPECT_EQ("ln_attention_fwd: heads is 0, must be at least 1", refusal([](Args& a) { a.heads = 0; }));
  EXPECT_EQ("ln_attention_fwd: key_heads is 0, must be at least 1", refusal([](Args& a) { a.key_heads = 0; }));
  EXPECT_EQ("ln_attention_fwd: head_dim is 0, must be at least 1", refusal([](Args& a) { a.head_dim = 0; }));
  EXPECT_EQ("ln_attention_fwd: window is -5, must be at least 0", refusal([](Args& a) { a.window = -5; }));
  EXPECT_EQ("ln_attention_fwd: scale is not finite", refusal([](Args& a) { a.scale = NAN; }));
  EXPECT_EQ("ln_attention_fwd: v is NULL", refusal([](Args& a) { a.v = nullptr; }));
  EXPECT_EQ("ln_attention_fwd: lse is NULL", refusal([](Args& a) { a.lse = nullptr; }));
  EXPECT_EQ("ln_attention_fwd: query_offsets is NULL", refusal([](Args& a) { a.query_offsets = nullptr; }));
  if (kCpu) {  // kernels of a GPU read offsets, the host does not
    const int32_t from_one[3] = {1, 3, 7}, falling[3] = {0, 5, 4}, short_end[3] = {0, 3, 6}, negative[3] = {0, -1, 7},
                  long_first[3] = {0, 6, 7};
    EXPECT_EQ("ln_attention_fwd: query_offsets[0] is 1, must be 0",
              refusal([&](Args& a) { a.query_offsets = from_one; }));
    EXPECT_EQ("ln_attention_fwd: key_offsets[2] is 4, below the one before, 5",
              refusal([&](Args& a) { a.key_offsets = falling; }));
    EXPECT_EQ("ln_attention_fwd: query_offsets[1] is -1, below the one before, 0",
              refusal([&](Args& a) { a.query_offsets = negative; }));
    EXPECT_EQ("ln_attention_fwd: query_offsets[2] is 6, must be the number of tokens, 7",
              refusal([&](Args& a) { a.query_offsets = short_end; }));
    EXPECT_EQ("ln_attention_fwd: sequence 0 has 6 queries but 5 keys",
              refusal([&](Args& a) { a.query_offsets = long_first; }));
  }
  for (int64_t i = 0; i < c.o.size(); ++i) ASSERT_TRUE(std::isnan(c.o[i]));

  const auto backward = [&](auto change) {
    ln_attention_args args = good;
    change(args);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_attention_bwd(context, &args));
    return context.error();
  };
  EXPECT_EQ("ln_attention_bwd: dout is NULL", backward([](Args& a) { a.dout = nullptr; }));
  EXPECT_EQ("ln_attention_bwd: delta is NULL", backward([](Args& a) { a.delta = nullptr; }));
  EXPECT_EQ("ln_attention_bwd: dv is NULL", backward([](Args& a) { a.dv = nullptr; }));
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_attention_fwd(context, nullptr));
  EXPECT_EQ("ln_attention_fwd: args is NULL", context.error());
}

TEST(Attention, SaysHowMuchScratchIsMissing) {
  if (!kCpu) GTEST_SKIP() << "float32 needs no scratch there; TensorAttention has the case for bfloat16";
  Context context(LN_SIMD_GENERIC);
  AttentionCase c({{3}, {3}, 2, 2, 8, 0});
  const ln_attention_args args = c.args();
  int64_t bytes = 0;
  ASSERT_EQ(LN_OK, ln_scratch_bytes(context, LN_OP_ATTENTION_FWD, &args, &bytes));
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_attention_fwd(context, &args));
  EXPECT_EQ("ln_attention_fwd: needs " + std::to_string(bytes) + " bytes of scratch, the context has 0",
            context.error());
  for (int64_t i = 0; i < c.o.size(); ++i) ASSERT_TRUE(std::isnan(c.o[i]));
}

TEST(Attention, NoTokensMeanNothingToDo) {
  for (int32_t simd : tiers()) {
    Context context(simd);
    ln_attention_args args = {};
    args.heads = args.key_heads = args.head_dim = 1;
    EXPECT_EQ(LN_OK, ln_attention_fwd(context, &args)) << context.error();
    EXPECT_EQ(LN_OK, ln_attention_bwd(context, &args)) << context.error();
  }
}

}  // namespace
}  // namespace ln::test
