// Attention with products in bfloat16, on tensor cores: against float64 of inputs that are bfloat16 numbers already, so
// that only the roundings of probabilities and of gradients of scores are left.
#include "attention_cases.hpp"
#include "simt/simt.hpp"

namespace ln::test {
namespace {

/// A context that multiplies in bfloat16; its scratch ends at a guard page.
class TensorContext {
 public:
  explicit TensorContext(int32_t schedule) {
    const ln_context_options options = options_of(schedule, 0, LN_PRECISION_BF16);
    if (ln_context_create(&options, &context_) != LN_OK) throw std::string(ln_last_error(nullptr));
  }
  ~TensorContext() { ln_context_destroy(context_); }
  TensorContext(const TensorContext&) = delete;
  TensorContext& operator=(const TensorContext&) = delete;

  operator ln_context*() const { return context_; }
  void reserve(int32_t op, const ln_attention_args& args) {
    int64_t bytes = 0;
    ASSERT_EQ(LN_OK, ln_scratch_bytes(context_, op, &args, &bytes));
    scratch_ = std::make_unique<Guarded<float>>((bytes + 63) / 64 * 16);
    ASSERT_EQ(LN_OK, ln_context_set_scratch(context_, scratch_->data(), bytes));
  }
  void run(const ln_attention_args& args) {
    reserve(LN_OP_ATTENTION_FWD, args);
    ASSERT_EQ(LN_OK, ln_attention_fwd(context_, &args)) << ln_last_error(context_);
    reserve(LN_OP_ATTENTION_BWD, args);
    ASSERT_EQ(LN_OK, ln_attention_bwd(context_, &args)) << ln_last_error(context_);
  }

 private:
  ln_context* context_ = nullptr;
  std::unique_ptr<Guarded<float>> scratch_;
};

void round_all(Guarded<float>& x) {
  for (int64_t i = 0; i < x.size(); ++i) x[i] = simt::bf16_to_float(simt::float_to_bf16(x[i]));
}

AttentionCase rounded_case(const AttentionShape& shape, float spread = 2) {
  AttentionCase c(shape, spread);
  for (Guarded<float>* input : {&c.q, &c.k, &c.v, &c.dout}) round_all(*input);
  return c;
}

/// Of a probability or a gradient of a score when it becomes bfloat16.
constexpr double kRounding = 1.0 / 512;

/// o is a mean of v, |v| < 1, so the errors of the probabilities cannot move it by more than one rounding. lse is
/// summed in float32. A gradient is a sum of many rounded terms of both signs, so 2 roundings of the largest one are
/// ample; those of dq and dk carry the rounding of o in delta as well.
void expect_both_passes(AttentionCase& c, AttentionOracle& oracle, const std::string& what) {
  expect_close(c.o, oracle.o, c.o.size(), kRounding, "o" + what, 1);
  expect_close(c.lse, oracle.lse, c.lse.size(), 1e-6, "lse" + what, 1);
  expect_close(c.dv, oracle.dv, c.dv.size(), 1.5 * kRounding, "dv" + what, 1);
  expect_close(c.dq, oracle.dq, c.dq.size(), 2 * kRounding, "dq" + what, 1);
  expect_close(c.dk, oracle.dk, c.dk.size(), 2 * kRounding, "dk" + what, 1);
}

const std::vector<AttentionShape>& tensor_shapes() {
  static const std::vector<int64_t> mixed = {1, 3, 31, 33, 64, 65, 100};
  static const std::vector<AttentionShape> shapes = {
      {mixed, mixed, 2, 1, 8, 0},
      {mixed, mixed, 8, 1, 20, 0},  // 8 query heads of one key head
      {mixed, mixed, 2, 2, 20, 33},
      {mixed, mixed, 2, 1, 33, 1},
      {mixed, mixed, 2, 1, 64, 0},
      {{65, 100}, {65, 100}, 8, 1, 64, 64},
      {{0, 130, 0, 2}, {0, 130, 4, 2}, 3, 1, 80, 0},
      {{33, 65}, {33, 65}, 2, 1, 96, 7},
      {{100, 31}, {100, 31}, 2, 1, 128, 0},
      {{129}, {129}, 2, 2, 128, 65},
      {{100, 1}, {100, 1}, 2, 1, 256, 0},
      {{65}, {65}, 1, 1, 250, 31},
      // more keys than queries
      {{2, 64, 33}, {67, 190, 33}, 2, 1, 64, 0},
      {{2, 64, 33}, {67, 190, 33}, 2, 1, 64, 40},
      {{31}, {100}, 1, 1, 256, 0},
      {{1, 1, 1}, {1, 65, 200}, 8, 2, 128, 0},  // generation
      {{1, 1}, {130, 64}, 7, 1, 33, 20},
  };
  return shapes;
}

class TensorAttentionShape : public testing::TestWithParam<size_t> {};

TEST_P(TensorAttentionShape, BothPassesEqualTheirDefinition) {
  const AttentionShape& shape = tensor_shapes()[GetParam()];
  AttentionOracle oracle = rounded_case(shape).oracle();
  oracle.forward();
  oracle.backward();
  for (int32_t schedule : tiers()) {
    AttentionCase c = rounded_case(shape);
    TensorContext context(schedule);
    context.run(c.args());
    expect_both_passes(c, oracle, " of " + shape.text() + " " + simd_name(schedule));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, TensorAttentionShape, testing::Range<size_t>(0, tensor_shapes().size()));

TEST(TensorAttention, SchedulesGiveTheSameBytes) {
  const AttentionShape shape = {{1, 33, 65}, {1, 33, 65}, 4, 2, 64, 0};
  AttentionCase one = rounded_case(shape);
  TensorContext(0).run(one.args());
  for (int32_t schedule : {1, 2, 3}) {
    AttentionCase other = rounded_case(shape);
    TensorContext(schedule).run(other.args());
    expect_identical(other.o.data(), one.o.data(), one.o.size(), "o");
    expect_identical(other.lse.data(), one.lse.data(), one.lse.size(), "lse");
    expect_identical(other.dq.data(), one.dq.data(), one.dq.size(), "dq");
    expect_identical(other.dk.data(), one.dk.data(), one.dk.size(), "dk");
    expect_identical(other.dv.data(), one.dv.data(), one.dv.size(), "dv");
  }
}

TEST(TensorAttention, PackedSequencesAreTheSameBytesAsSingleOnes) {
  const std::vector<int64_t> lengths = {17, 65, 1, 130};
  AttentionCase packed = rounded_case({lengths, lengths, 2, 1, 24, 0});
  TensorContext(1).run(packed.args());
  int64_t first = 0;
  for (int64_t length : lengths) {
    AttentionCase alone({{length}, {length}, 2, 1, 24, 0});
    const int64_t query_at = first * 2 * 24, key_at = first * 24, query_size = length * 2 * 24, key_size = length * 24;
    std::memcpy(alone.q, packed.q + query_at, static_cast<size_t>(query_size) * sizeof(float));
    std::memcpy(alone.dout, packed.dout + query_at, static_cast<size_t>(query_size) * sizeof(float));
    std::memcpy(alone.k, packed.k + key_at, static_cast<size_t>(key_size) * sizeof(float));
    std::memcpy(alone.v, packed.v + key_at, static_cast<size_t>(key_size) * sizeof(float));
    TensorContext(0).run(alone.args());
    const std::string what = " length " + std::to_string(length);
    expect_identical(packed.o.data() + query_at, alone.o.data(), query_size, "o" + what);
    expect_identical(packed.dq.data() + query_at, alone.dq.data(), query_size, "dq" + what);
    expect_identical(packed.dk.data() + key_at, alone.dk.data(), key_size, "dk" + what);
    expect_identical(packed.dv.data() + key_at, alone.dv.data(), key_size, "dv" + what);
    first += length;
  }
}

TEST(TensorAttention, AnySignOfScale) {
  for (float scale : {-0.2f, 0.0f}) {
    AttentionCase c = rounded_case({{40, 1}, {70, 3}, 2, 1, 32, 0});
    c.scale = scale;
    AttentionOracle oracle = c.oracle();
    oracle.forward();
    oracle.backward();
    TensorContext context(0);
    context.run(c.args());
    expect_both_passes(c, oracle, " with scale " + std::to_string(scale));
  }
}

/// Scores near 500, the largest first, last and in between; a score's error of 3e-5 becomes a relative one.
TEST(TensorAttention, LargeScoresStayFinite) {
  for (int64_t window : {0, 70}) {
    AttentionCase c = rounded_case({{150}, {150}, 2, 1, 16, window}, 200);
    AttentionOracle oracle = c.oracle();
    oracle.forward();
    TensorContext context(1);
    context.run(c.args());
    expect_close(c.o, oracle.o, c.o.size(), 2 * kRounding, "o", 1);
    expect_close(c.lse, oracle.lse, c.lse.size(), 1e-6, "lse");
    for (Guarded<float>* gradient : {&c.dq, &c.dk, &c.dv}) {
      for (int64_t i = 0; i < gradient->size(); ++i) ASSERT_TRUE(std::isfinite((*gradient)[i]));
    }
  }
}

TEST(TensorAttention, NaNIsNotHidden) {
  for (int64_t queries : {1, 5}) {
    AttentionCase c = rounded_case({{queries}, {queries + 60}, 2, 1, 8, 0});
    c.k[3] = NAN;
    TensorContext context(0);
    context.run(c.args());
    for (Guarded<float>* result : {&c.o, &c.dq}) {
      for (int64_t i = 0; i < result->size(); ++i) ASSERT_TRUE(std::isnan((*result)[i]));
    }
  }
}

TEST(TensorAttention, UnseenKeysGetZero) {
  AttentionCase c = rounded_case({{2, 0}, {200, 3}, 2, 1, 8, 4});
  TensorContext context(2);
  context.run(c.args());
  for (int64_t i = 0; i < c.dk.size(); ++i) {
    const int64_t token = i / 8;
    if (token >= 195 && token < 200) continue;
    ASSERT_EQ(0, c.dk[i]);
    ASSERT_EQ(0, c.dv[i]);
  }
}

/// Pointers are aligned to 4 bytes, no more.
TEST(TensorAttention, UnalignedArraysGiveTheSameBytes) {
  const AttentionShape shape = {{70}, {70}, 2, 1, 64, 0};
  AttentionCase aligned = rounded_case(shape);
  TensorContext(0).run(aligned.args());
  AttentionCase c = rounded_case(shape);
  std::vector<std::unique_ptr<Guarded<float>>> moved;
  const auto move = [&](const Guarded<float>& from) {
    moved.push_back(std::make_unique<Guarded<float>>(from.size() + 1));  // one more float before the guard page
    std::memcpy(moved.back()->data(), from.data(), static_cast<size_t>(from.size()) * sizeof(float));
    return moved.back()->data();
  };
  ln_attention_args args = c.args();
  args.q = move(c.q);
  args.k = move(c.k);
  args.v = move(c.v);
  args.dout = move(c.dout);
  args.o = move(c.o);
  args.dq = move(c.dq);
  args.dk = move(c.dk);
  args.dv = move(c.dv);
  TensorContext(0).run(args);
  expect_identical(args.o, aligned.o.data(), aligned.o.size(), "o");
  expect_identical(args.dq, aligned.dq.data(), aligned.dq.size(), "dq");
  expect_identical(args.dk, aligned.dk.data(), aligned.dk.size(), "dk");
  expect_identical(args.dv, aligned.dv.data(), aligned.dv.size(), "dv");
}

TEST(TensorAttention, ScratchIsLinearInTokensAndChecked) {
  TensorContext context(0);
  for (int32_t op : {LN_OP_ATTENTION_FWD, LN_OP_ATTENTION_BWD}) {
    int64_t bytes[2] = {};
    for (int i = 0; i < 2; ++i) {
      ln_attention_args args = {};
      args.sequences = 1;
      args.query_tokens = args.key_tokens = 1024 << i;
      args.heads = args.key_heads = 4;
      args.head_dim = 64;
      ASSERT_EQ(LN_OK, ln_scratch_bytes(context, op, &args, &bytes[i]));
    }
    EXPECT_LE(bytes[1], 2 * bytes[0]);
  }
  AttentionCase c({{3}, {3}, 2, 2, 8, 0});
  const ln_attention_args args = c.args();
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_attention_fwd(context, &args));
  for (int64_t i = 0; i < c.o.size(); ++i) ASSERT_TRUE(std::isnan(c.o[i]));
}

/// What the CPU library refuses only the device can see here: it must stay within the arrays (which end at guard pages)
/// and come to an end.
TEST(TensorAttention, BadOffsetsStayWithinTheArrays) {
  const std::vector<std::vector<int32_t>> offsets = {{1, 3, 7},  {0, 5, 4}, {0, 3, 6},
                                                     {0, -1, 7}, {0, 6, 7}, {0, 900, 7}};
  for (int32_t precision : {LN_PRECISION_F32, LN_PRECISION_BF16}) {
    for (const std::vector<int32_t>& bad : offsets) {
      for (bool of_queries : {true, false}) {
        AttentionCase c({{3, 4}, {5, 4}, 4, 2, 8, 0});
        for (int64_t i = 0; i < 3; ++i) {
          (of_queries ? c.query_offsets : c.key_offsets)[i] = std::min(bad[static_cast<size_t>(i)], 900);
        }
        if (precision == LN_PRECISION_BF16) {
          TensorContext(0).run(c.args());
        } else {
          c.run(0, 1);
        }
      }
    }
  }
}

/// Heads above 256 go row by row, in float32 whatever the precision.
TEST(RowAttention, HeadsOfAnySize) {
  const std::vector<AttentionShape> shapes = {
      {{9, 1, 2}, {9, 1, 20}, 2, 1, 300, 0}, {{5}, {40}, 2, 2, 257, 3}, {{3, 0}, {3, 2}, 1, 1, 513, 0}};
  for (const AttentionShape& shape : shapes) {
    AttentionOracle oracle = AttentionCase(shape).oracle();
    oracle.forward();
    oracle.backward();
    for (int32_t schedule : tiers()) {
      for (bool tensor : {false, true}) {
        AttentionCase c(shape);
        if (tensor) {
          TensorContext(schedule).run(c.args());
        } else {
          c.run(schedule, 1);
        }
        const std::string what = " of " + shape.text();
        expect_close(c.o, oracle.o, c.o.size(), 1e-6, "o" + what);
        expect_close(c.lse, oracle.lse, c.lse.size(), 1e-6, "lse" + what, 1);
        expect_close(c.dq, oracle.dq, c.dq.size(), 3e-6, "dq" + what, 1);
        expect_close(c.dk, oracle.dk, c.dk.size(), 3e-6, "dk" + what, 1);
        expect_close(c.dv, oracle.dv, c.dv.size(), 2e-6, "dv" + what);
      }
    }
  }
}

}  // namespace
}  // namespace ln::test
