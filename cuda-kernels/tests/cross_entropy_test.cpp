// What only the kernels of a GPU have: labels and positions that the host cannot read, rows that are not whole quads.
#include "harness.hpp"

namespace ln::test {
namespace {

TEST(DeviceCrossEntropy, LabelOutsideTheVocabularyGivesNaN) {
  for (int64_t vocabulary : {5, 8}) {
    for (int32_t bad : {-1, -99, -101, static_cast<int32_t>(vocabulary), INT32_MAX}) {
      Random random(3);
      Guarded<float> logits(3 * vocabulary, random), losses(3);
      Guarded<int32_t> labels(3);
      labels[0] = 1;
      labels[1] = bad;
      labels[2] = -100;
      Context context(1);
      ASSERT_EQ(LN_OK, ln_cross_entropy(context, logits, labels, losses, 3, vocabulary, 1, 1));
      EXPECT_TRUE(std::isfinite(losses[0]));
      EXPECT_TRUE(std::isnan(losses[1])) << bad;
      EXPECT_EQ(0, losses[2]);
      for (int64_t i = 0; i < vocabulary; ++i) {
        EXPECT_TRUE(std::isfinite(logits[i]));
        EXPECT_TRUE(std::isnan(logits[vocabulary + i]));
        EXPECT_EQ(0, logits[2 * vocabulary + i]);
      }
    }
  }
}

/// The logits of a row that is ignored are not even read.
TEST(DeviceCrossEntropy, IgnoredRowsAreOnlyWritten) {
  const int64_t vocabulary = 64;
  Guarded<float> losses(1);
  Guarded<int32_t> labels(1);
  labels[0] = -100;
  Context context(0);
  float* nothing = reinterpret_cast<float*>(64);  // reading it is a fault
  ASSERT_EQ(LN_OK, ln_cross_entropy(context, nothing, labels, losses, 1, vocabulary, 1, 0));
  EXPECT_EQ(0, losses[0]);
}

/// Quads and single logits add up in another order, to the same loss within rounding.
TEST(DeviceCrossEntropy, UnalignedLogitsGiveTheSameLoss) {
  const int64_t vocabulary = 4096;
  Random random(5);
  Guarded<float> aligned(vocabulary, random), moved(vocabulary + 1), losses(2);
  std::memcpy(moved.data(), aligned.data(), static_cast<size_t>(vocabulary) * sizeof(float));
  Guarded<int32_t> labels(1);
  labels[0] = 4000;
  Context context(2);
  ASSERT_EQ(LN_OK, ln_cross_entropy(context, aligned, labels, losses, 1, vocabulary, 1, 1));
  ASSERT_EQ(LN_OK, ln_cross_entropy(context, moved, labels, losses.data() + 1, 1, vocabulary, 1, 1));
  EXPECT_NEAR(losses[0], losses[1], 2e-6);
  for (int64_t i = 0; i < vocabulary; ++i) ASSERT_NEAR(aligned[i], moved[i], 1e-6 * std::abs(aligned[i]));
}

TEST(DeviceRope, PositionOutsideTheTablesGivesNaN) {
  for (int64_t rotary : {6, 8}) {
    for (int32_t bad : {-1, 4, INT32_MIN, INT32_MAX}) {
      Random random(7);
      Guarded<float> x(2 * 2 * 8, random), cosine(4 * rotary / 2, random), sine(4 * rotary / 2, random);
      const Guarded<float> before = x;
      Guarded<int32_t> positions(2);
      positions[0] = 3;
      positions[1] = bad;
      Context context(1);
      const ln_rope_args args = {x, cosine, sine, positions, 2, 2, 8, rotary, 4, 0, 0};
      ASSERT_EQ(LN_OK, ln_rope(context, &args)) << context.error();
      for (int64_t i = 0; i < x.size(); ++i) {
        if (i % 8 >= rotary) {
          EXPECT_EQ(before[i], x[i]);
        } else {
          EXPECT_EQ(i >= 16, std::isnan(x[i])) << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ln::test
