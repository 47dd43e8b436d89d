#include "harness.hpp"

namespace ln::test {
namespace {

struct Shape {
  int64_t rows, width, count;
};

constexpr Shape kShapes[] = {{0, 3, 2}, {1, 1, 1}, {5, 3, 0}, {5, 3, 3}, {33, 100, 7}, {200, 31, 30}};

/// Distinct columns, neither sorted nor next to each other where there is room.
Guarded<int32_t> columns(const Shape& s) {
  Guarded<int32_t> index(s.count);
  for (int64_t j = 0; j < s.count; ++j) index[j] = static_cast<int32_t>((s.width - 1 - j) % s.width);
  return index;
}

TEST(Columns, GatherTakesThemExactly) {
  for (int threads : {1, 2}) {
    for (const Shape& s : kShapes) {
      Context context(LN_SIMD_AUTO, threads);
      Random random(1);
      const Guarded<float> x(s.rows * s.width, random);
      const Guarded<int32_t> index = columns(s);
      Guarded<float> y(s.rows * s.count);
      ASSERT_EQ(LN_OK, ln_gather_columns(context, x, index, y, s.rows, s.width, s.count)) << context.error();
      for (int64_t r = 0; r < s.rows; ++r) {
        for (int64_t j = 0; j < s.count; ++j) ASSERT_EQ(x[r * s.width + index[j]], y[r * s.count + j]);
      }
    }
  }
}

TEST(Columns, AddChangesThemAlone) {
  for (int threads : {1, 2}) {
    for (const Shape& s : kShapes) {
      Context context(LN_SIMD_AUTO, threads);
      Random random(2);
      const Guarded<float> x(s.rows * s.count, random);
      const Guarded<int32_t> index = columns(s);
      Guarded<float> y(s.rows * s.width, random);
      Guarded<float> expected(y);
      for (int64_t r = 0; r < s.rows; ++r) {
        for (int64_t j = 0; j < s.count; ++j) expected[r * s.width + index[j]] += x[r * s.count + j];
      }
      ASSERT_EQ(LN_OK, ln_add_columns(context, x, index, y, s.rows, s.width, s.count)) << context.error();
      expect_identical(y.data(), expected.data(), y.size(), "columns");
    }
  }
}

TEST(Columns, RefuseBadArgumentsBeforeWriting) {
  Context context;
  const float x[4] = {1, 2, 3, 4};
  float y[4] = {9, 9, 9, 9};
  const int32_t index[2] = {0, 2};
  if (kCpu) {
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gather_columns(context, x, index, y, 2, 2, 2));
    EXPECT_EQ("ln_gather_columns: index[1] is 2, must be at least 0 and below 2", context.error());
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_add_columns(context, x, index, y, 2, 2, 2));
    EXPECT_EQ("ln_add_columns: index[1] is 2, must be at least 0 and below 2", context.error());
  }
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_add_columns(context, x, index, y, 2, 1, 2));
  EXPECT_EQ("ln_add_columns: count is 2, must be at most 1", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_gather_columns(context, nullptr, index, y, 2, 3, 2));
  EXPECT_EQ("ln_gather_columns: x is NULL", context.error());
  for (float value : y) EXPECT_EQ(9, value);
}

TEST(ColumnSums, AddUpInDoubleWhateverTheTierAndTheThreads) {
  for (int32_t simd : tiers()) {
    for (const Shape& s : {Shape{0, 3, 0}, Shape{1, 1, 0}, Shape{3, 17, 0}, Shape{64, 33, 0}, Shape{1000, 100, 0}}) {
      Random random(3);
      const Guarded<float> x(s.rows * s.width, random);
      const Guarded<float> start(s.width, random);
      std::vector<double> expected(start.data(), start.data() + s.width);
      for (int64_t r = 0; r < s.rows; ++r) {
        for (int64_t c = 0; c < s.width; ++c) expected[static_cast<size_t>(c)] += x[r * s.width + c];
      }
      Guarded<float> alone(start);
      for (int threads : {1, 2, 3}) {
        Context context(simd, threads);
        Guarded<float> result(start);
        ASSERT_EQ(LN_OK, ln_column_sums(context, x, result, s.rows, s.width)) << context.error();
        // Rounding of up to 64 additions in a block, and of as many blocks.
        expect_close(result, expected, s.width, 2e-6, std::string("column sums ") + simd_name(simd), 1);
        if (threads == 1) std::memcpy(alone.data(), result.data(), static_cast<size_t>(s.width) * sizeof(float));
        expect_identical(result.data(), alone.data(), s.width, "column sums by threads");
      }
    }
  }
}

TEST(ColumnSums, RefuseBadArguments) {
  Context context;
  float x[1] = {1};
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_column_sums(context, x, nullptr, 1, 1));
  EXPECT_EQ("ln_column_sums: result is NULL", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_column_sums(context, x, x, -1, 1));
  EXPECT_EQ("ln_column_sums: rows is -1, must be at least 0", context.error());
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_column_sums(context, x, x, 1, 0));
  EXPECT_EQ("ln_column_sums: columns is 0, must be at least 1", context.error());
}

}  // namespace
}  // namespace ln::test
