#include "matrices.hpp"

namespace ln::test {
namespace {

struct Shape {
  int64_t tokens, vocabulary, width;
};

constexpr Shape kShapes[] = {{0, 3, 4}, {1, 1, 1}, {5, 3, 7}, {9, 4, 16}, {33, 100, 33}, {40, 7, 200}, {600, 50, 129}};

Guarded<int32_t> random_ids(const Shape& s, Random& random) {
  Guarded<int32_t> ids(s.tokens);
  for (int64_t t = 0; t < s.tokens; ++t)
    ids[t] = static_cast<int32_t>(t == 0 ? s.vocabulary - 1 : random.below(s.vocabulary));
  return ids;
}

TEST(Embedding, ForwardCopiesRowsExactlyFromEveryFormat) {
  for (int32_t simd : tiers()) {
    for (int32_t dtype : {LN_F32, LN_BF16, LN_F16, LN_NF4, LN_FP4}) {
      for (const Shape& s : kShapes) {
        Context context(simd, 2);
        Random random(1);
        const TestMatrix table(s.vocabulary, s.width, dtype, random);
        const Guarded<int32_t> ids = random_ids(s, random);
        Guarded<float> y(s.tokens * s.width);
        ASSERT_EQ(LN_OK, ln_embedding_fwd(context, table.data(), dtype, ids, y, s.tokens, s.vocabulary, s.width))
            << context.error();
        for (int64_t t = 0; t < s.tokens; ++t) {
          for (int64_t i = 0; i < s.width; ++i) {
            ASSERT_EQ(table(ids[t], i), y[t * s.width + i])
                << simd_name(simd) << " " << dtype_name(dtype) << " token " << t << " column " << i;
          }
        }
      }
    }
  }
}

/// The order of the additions is fixed by the header, so float32 gives one answer.
TEST(Embedding, BackwardAddsTokensInOrderWhateverTheThreads) {
  for (int32_t simd : tiers()) {
    for (const Shape& s : kShapes) {
      Random random(2);
      Guarded<float> dy(s.tokens * s.width, random), start(s.vocabulary * s.width, random);
      const Guarded<int32_t> ids = random_ids(s, random);
      Guarded<float> expected(start);
      for (int64_t t = 0; t < s.tokens; ++t) {
        for (int64_t i = 0; i < s.width; ++i) expected[ids[t] * s.width + i] += dy[t * s.width + i];
      }
      for (int threads : {1, 2, 3}) {
        Context context(simd, threads);
        Guarded<float> gradient(start);
        ASSERT_EQ(LN_OK, ln_embedding_bwd(context, dy, ids, gradient, s.tokens, s.vocabulary, s.width))
            << context.error();
        expect_identical(gradient.data(), expected.data(), s.vocabulary * s.width,
                         std::string("embedding gradient ") + simd_name(simd));
      }
    }
  }
}

TEST(Embedding, RefusesBadArgumentsBeforeWriting) {
  Context context;
  const float table[6] = {1, 2, 3, 4, 5, 6};
  float y[6] = {9, 9, 9, 9, 9, 9};
  const int32_t ids[3] = {0, 1, 3};
  if (kCpu) {
    const int32_t negative[3] = {0, -1, 1};
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_fwd(context, table, LN_F32, ids, y, 3, 3, 2));
    EXPECT_EQ("ln_embedding_fwd: ids[2] is 3, must be at least 0 and below 3", context.error());
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_bwd(context, table, negative, y, 3, 3, 2));
    EXPECT_EQ("ln_embedding_bwd: ids[1] is -1, must be at least 0 and below 3", context.error());
  }
  for (float value : y) EXPECT_EQ(9, value);
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_fwd(context, table, 7, ids, y, 1, 3, 2));
  EXPECT_EQ("ln_embedding_fwd: table_dtype is 7, not an ln_dtype", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_fwd(context, table, LN_F32, nullptr, y, 1, 3, 2));
  EXPECT_EQ("ln_embedding_fwd: ids is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_fwd(context, table, LN_F32, ids, y, -1, 3, 2));
  EXPECT_EQ("ln_embedding_fwd: tokens is -1, must be at least 0", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_bwd(context, table, ids, y, 1, 0, 2));
  EXPECT_EQ("ln_embedding_bwd: vocabulary is 0, must be at least 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_bwd(context, table, ids, y, 1, 3, 0));
  EXPECT_EQ("ln_embedding_bwd: width is 0, must be at least 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_bwd(context, table, ids, nullptr, 1, 3, 2));
  EXPECT_EQ("ln_embedding_bwd: grad_table is NULL", context.error());
  EXPECT_EQ(LN_OK, ln_embedding_fwd(context, nullptr, LN_F32, nullptr, nullptr, 0, 3, 2));
}

/// Every third id has a row of its own.
Guarded<int32_t> some_slots(int64_t vocabulary, int64_t* count) {
  Guarded<int32_t> slots(vocabulary);
  *count = 0;
  for (int64_t id = vocabulary - 1; id >= 0; --id) {
    slots[id] = id % 3 == 0 ? static_cast<int32_t>((*count)++) : -1;
  }
  return slots;
}

TEST(Embedding, RowsReplaceThoseOfTheTableAndLeaveTheOthers) {
  for (int32_t simd : tiers()) {
    for (const Shape& s : kShapes) {
      Random random(3);
      int64_t count = 0;
      const Guarded<int32_t> slots = some_slots(s.vocabulary, &count);
      const Guarded<int32_t> ids = random_ids(s, random);
      Guarded<float> rows(count * s.width, random), y(s.tokens * s.width, random);
      Guarded<float> expected(y);
      for (int64_t t = 0; t < s.tokens; ++t) {
        for (int64_t i = 0; slots[ids[t]] >= 0 && i < s.width; ++i)
          expected[t * s.width + i] = rows[slots[ids[t]] * s.width + i];
      }
      Context context(simd, 2);
      ASSERT_EQ(LN_OK, ln_embedding_rows_fwd(context, rows, slots, ids, y, s.tokens, s.vocabulary, count, s.width))
          << context.error();
      expect_identical(y.data(), expected.data(), y.size(), std::string("rows ") + simd_name(simd));
    }
  }
}

TEST(Embedding, GradientsOfRowsAddUpInOrderWhateverTheThreads) {
  for (int32_t simd : tiers()) {
    for (const Shape& s : kShapes) {
      Random random(4);
      int64_t count = 0;
      const Guarded<int32_t> slots = some_slots(s.vocabulary, &count);
      const Guarded<int32_t> ids = random_ids(s, random);
      Guarded<float> dy(s.tokens * s.width, random), start(count * s.width, random);
      Guarded<float> expected(start);
      for (int64_t t = 0; t < s.tokens; ++t) {
        for (int64_t i = 0; slots[ids[t]] >= 0 && i < s.width; ++i)
          expected[slots[ids[t]] * s.width + i] += dy[t * s.width + i];
      }
      for (int threads : {1, 3}) {
        Context context(simd, threads);
        Guarded<float> gradient(start);
        ASSERT_EQ(LN_OK,
                  ln_embedding_rows_bwd(context, dy, slots, ids, gradient, s.tokens, s.vocabulary, count, s.width))
            << context.error();
        expect_identical(gradient.data(), expected.data(), gradient.size(), std::string("rows ") + simd_name(simd));
      }
    }
  }
}

TEST(Embedding, RowsRefuseBadArgumentsBeforeWriting) {
  Context context;
  float rows[2] = {1, 2}, y[4] = {9, 9, 9, 9};
  const int32_t ids[2] = {0, 1}, slots[3] = {-1, 1, 0};
  if (kCpu) {
    const int32_t low[3] = {-2, 0, 0}, beyond[2] = {2, 3};
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_rows_fwd(context, rows, slots, ids, y, 2, 3, 1, 2));
    EXPECT_EQ("ln_embedding_rows_fwd: slots[1] is 1, must be at least -1 and below 1", context.error());
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_rows_bwd(context, y, low, ids, rows, 2, 3, 1, 2));
    EXPECT_EQ("ln_embedding_rows_bwd: slots[0] is -2, must be at least -1 and below 1", context.error());
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_rows_fwd(context, rows, slots, beyond, y, 2, 3, 2, 1));
    EXPECT_EQ("ln_embedding_rows_fwd: ids[1] is 3, must be at least 0 and below 3", context.error());
  }
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_rows_fwd(context, rows, slots, ids, y, 2, 3, 0, 1));
  EXPECT_EQ("ln_embedding_rows_fwd: count is 0, must be at least 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_embedding_rows_bwd(context, y, nullptr, ids, rows, 2, 3, 1, 2));
  EXPECT_EQ("ln_embedding_rows_bwd: slots is NULL", context.error());
  for (float value : y) EXPECT_EQ(9, value);
}

}  // namespace
}  // namespace ln::test
