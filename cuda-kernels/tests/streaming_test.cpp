// What only kernels with packs and slices have: the same bytes for aligned and for unaligned arrays, matrices with many
// rows or columns, ids of an embedding that a GPU cannot refuse.
#include "harness.hpp"

namespace ln::test {
namespace {

/// n floats from the `shift`-th of an array that is aligned to 16 bytes.
class Shifted {
 public:
  Shifted(int64_t n, int64_t shift, uint64_t seed) : shift_(shift), values_(static_cast<size_t>(n) / 4 + 2) {
    Random random(seed);
    for (int64_t i = 0; i < n; ++i) data()[i] = random.uniform();
  }
  float* data() { return reinterpret_cast<float*>(values_.data()) + shift_; }

 private:
  struct alignas(16) Four {
    float of[4];
  };
  int64_t shift_;
  std::vector<Four> values_;
};

TEST(CudaStreaming, AlignmentChangesNoByte) {
  for (int64_t n : {1, 4, 63, 64, 1026}) {
    std::vector<std::vector<float>> results;
    std::vector<double> sums;
    for (int64_t shift : {0, 1, 2}) {
      Context context(1);
      Shifted x(n, shift, 1), y(n, shift, 2), z(n, shift, 3), m(n, shift, 4), v(n, shift, 5);
      for (int64_t i = 0; i < n; ++i) v.data()[i] *= v.data()[i];
      std::vector<float> all;
      const auto keep = [&](Shifted& of) { all.insert(all.end(), of.data(), of.data() + n); };
      ASSERT_EQ(LN_OK, ln_axpby(context, 0.7f, x.data(), 0.3f, y.data(), n));
      keep(y);
      ASSERT_EQ(LN_OK, ln_gated_activation_bwd(context, LN_SILU, x.data(), y.data(), z.data(), y.data(), z.data(), n));
      keep(y);
      keep(z);
      const ln_adamw_args adamw = {x.data(), y.data(), m.data(), v.data(), nullptr, n, 3, 1e-2, 0.9, 0.99, 1e-8, 0.1};
      ASSERT_EQ(LN_OK, ln_adamw(context, &adamw));
      keep(x);
      keep(m);
      keep(v);
      ASSERT_EQ(LN_OK, ln_cast(context, x.data(), LN_F32, y.data(), LN_BF16, n));
      ASSERT_EQ(LN_OK, ln_cast(context, y.data(), LN_BF16, z.data(), LN_F32, n));
      keep(z);
      results.push_back(all);
      double sum = 0;
      ASSERT_EQ(LN_OK, ln_sum_of_squares(context, m.data(), n, &sum));
      sums.push_back(sum);
    }
    for (size_t i = 1; i < results.size(); ++i) {
      expect_identical(results[i].data(), results[0].data(), static_cast<int64_t>(results[0].size()), "unaligned");
      expect_identical(&sums[i], &sums[0], 1, "sum of unaligned");
    }
  }
}

TEST(CudaStreaming, ColumnSumsOfManyRowsOrColumns) {
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>{5000, 3}, {70, 2100}, {200, 4097}}) {
    for (int32_t schedule : {0, 1}) {
      Random random(6);
      Guarded<float> x(rows * columns, random), result(columns, random);
      std::vector<double> expected(result.data(), result.data() + columns);
      for (int64_t i = 0; i < rows * columns; ++i) expected[i % columns] += x[i];
      ASSERT_EQ(LN_OK, ln_column_sums(Context(schedule), x, result, rows, columns));
      expect_close(result, expected, columns, 1e-6, "column sums", 1);
    }
  }
}

TEST(CudaStreaming, EmbeddingIdsOutsideTheVocabulary) {
  for (int32_t schedule : tiers()) {
    for (int64_t width : {3, 8}) {
      Context context(schedule);
      const int32_t ids[4] = {2, -1, 0, 3};
      const int32_t slots[3] = {1, 0, 5};  // of id 2: outside, so none
      Random random(7);
      Guarded<float> table(3 * width, random), y(4 * width, random), start(4 * width, random);
      ASSERT_EQ(LN_OK, ln_embedding_fwd(context, table, LN_F32, ids, y, 4, 3, width));
      expect_identical(y.data(), table.data() + 2 * width, width, "first row");
      expect_identical(y.data() + 2 * width, table.data(), width, "third row");
      for (int64_t i = 0; i < width; ++i) EXPECT_TRUE(std::isnan(y[width + i]) && std::isnan(y[3 * width + i]));

      Guarded<float> gradient(3 * width);
      ASSERT_EQ(LN_OK, ln_embedding_bwd(context, start, ids, gradient, 4, 3, width));
      expect_identical(gradient.data(), start.data() + 2 * width, width, "gradient of id 0");
      expect_identical(gradient.data() + 2 * width, start.data(), width, "gradient of id 2");
      for (int64_t i = width; i < 2 * width; ++i) EXPECT_EQ(0, gradient[i]);

      Guarded<float> replaced(start);
      ASSERT_EQ(LN_OK, ln_embedding_rows_fwd(context, table, slots, ids, replaced, 4, 3, 2, width));
      expect_identical(replaced.data(), start.data(), width, "slot outside");
      expect_identical(replaced.data() + 2 * width, table.data() + width, width, "slot 1");
      for (int64_t i = 0; i < width; ++i) EXPECT_TRUE(std::isnan(replaced[width + i]));
      Guarded<float> rows(2 * width);
      ASSERT_EQ(LN_OK, ln_embedding_rows_bwd(context, start, slots, ids, rows, 4, 3, 2, width));
      expect_identical(rows.data() + width, start.data() + 2 * width, width, "gradient of slot 1");
      for (int64_t i = 0; i < width; ++i) EXPECT_EQ(0, rows[i]);
    }
  }
}

}  // namespace
}  // namespace ln::test
