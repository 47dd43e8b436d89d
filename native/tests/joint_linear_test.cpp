#include "joint_layers.hpp"

namespace ln::test {
namespace {

std::string name_of(int32_t simd, const JointCase& x) { return std::string(simd_name(simd)) + " " + x.text(); }

auto transposed(const TestMatrix& m) {
  return [&m](int64_t i, int64_t j) { return m(j, i); };
}

void check_forward(Context& context, int32_t simd, const JointCase& x) {
  JointFixture f(x);
  f.run_forward(context);
  for (size_t i = 0; i < f.tensors.size(); ++i) {
    JointTensors& t = f.tensors[i];
    const std::string what = name_of(simd, x) + " layer " + std::to_string(i);
    const int64_t out = t.layer.out, rank = t.layer.rank;
    Oracle u(x.rows, rank), y(x.rows, out);
    for (int64_t row = 0; row < x.rows; ++row) {
      for (int64_t j = 0; j < out; ++j) y(row, j) = t.layer.bias_dtype < 0 ? 0 : t.bias(0, j);
    }
    add_product(u, x.rows, rank, x.in, 1, f.input, transposed(t.lora_a));
    add_product(y, x.rows, out, x.in, 1, f.input, transposed(t.weight));
    add_product(y, x.rows, out, rank, t.layer.scale, u, transposed(t.lora_b));
    expect_product(t.u.floats(), u, x.in, what + " u");
    expect_product(t.y.floats(), y, x.in * (1 + rank), what + " y");
  }
}

void check_backward(Context& context, int32_t simd, const JointCase& x) {
  JointFixture f(x);
  Oracle dx = x.accumulate ? copy(f.dx) : Oracle(x.rows, x.in);
  std::vector<Oracle> grad_a, grad_b;
  for (const JointTensors& t : f.tensors) {
    grad_a.push_back(copy(t.grad_a));
    grad_b.push_back(copy(t.grad_b));
  }
  f.run_backward(context);

  int64_t terms = 0;
  for (size_t i = 0; i < f.tensors.size(); ++i) {
    JointTensors& t = f.tensors[i];
    const std::string what = name_of(simd, x) + " layer " + std::to_string(i);
    const int64_t out = t.layer.out, rank = t.layer.rank;
    Oracle v(x.rows, rank);
    add_product(v, x.rows, rank, out, t.layer.scale, t.dy, t.lora_b);
    expect_product(t.v.floats(), v, out, what + " v");
    if (!t.layer.frozen) {
      add_product(grad_b[i], out, rank, x.rows, t.layer.scale, transposed(t.dy), t.u);
      add_product(grad_a[i], rank, x.in, x.rows, 1, [&](int64_t r, int64_t j) { return v(j, r); }, f.input);
    }
    expect_product(t.grad_b.floats(), grad_b[i], x.rows, what + " grad_b");
    expect_product(t.grad_a.floats(), grad_a[i], x.rows * out, what + " grad_a");
    add_product(dx, x.rows, x.in, out, 1, t.dy, t.weight);
    add_product(dx, x.rows, x.in, rank, 1, v, t.lora_a);
    terms += out * (1 + rank);
  }
  if (x.input) expect_product(f.dx.floats(), dx, terms, name_of(simd, x) + " dx");
}

/// One to four layers of a few rows (nothing packed), of one and of several tiles, with odd edges.
std::vector<JointCase> cases() {
  std::vector<JointCase> found;
  constexpr int64_t kOuts[] = {63, 3, 100, 32, 17}, kRanks[] = {8, 0, 3, 16, 1, 40};
  int32_t number = 0;
  for (int64_t count : {1, 2, 3, 4}) {
    for (int64_t rows : {1, 5, 8, 16, 33, 100}) {
      for (int64_t in : {17, 64, 257}) {
        JointCase x = {rows, in, {}};
        for (int64_t i = 0; i < count; ++i) {
          JointLayer layer = {kOuts[(number + i) % 5], kRanks[(number / 2 + i) % 6]};
          layer.weight_dtype = static_cast<int32_t>((number + i) % 5);
          layer.bias_dtype = static_cast<int32_t>((number / 3 + i) % 4) - 1;
          layer.frozen = (number + i) % 7 == 0;
          layer.scale = 0.5f + 0.25f * static_cast<float>(i);
          x.layers.push_back(layer);
        }
        x.accumulate = number / 5 % 2;
        x.input = number % 11 != 0;
        ++number;
        found.push_back(x);
      }
    }
  }
  found.push_back({130, 300, {{200, 8, LN_BF16}, {64, 8, LN_BF16}, {64, 8, LN_BF16}}});
  found.push_back({600, 40, {{300, 8, LN_BF16}, {70, 16, LN_NF4, LN_F32}, {40, 0}}, 1});
  found.push_back({40, 30, {{40, 130}, {33, 8}, {20, 100}}});  // more adapter columns than are packed at a time
  // More of k than is packed at a time, in the first and in a later layer.
  found.push_back({520, 2000, {{12, 8, LN_BF16}, {9, 4}}});
  found.push_back({520, 12, {{2000, 8, LN_BF16}, {30, 8}, {700, 8}}});
  found.push_back({520, 12, {{400, 8, LN_BF16}, {2500, 8}, {1100, 0}}, 1});
  found.push_back({520, 12, {{400, 8}, {2500, 8}, {1100, 16}}, 0, false});
  return found;
}

/// The emulator is slow: each case on one schedule, and none of several CPU blocks.
bool taken(const JointCase& x, int32_t number, int32_t simd) {
  return kCpu || (number % 3 == simd && (x.rows < 500 || x.in == 40));
}

TEST(JointLinear, ForwardEqualsItsFormulaOnEveryTier) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    int32_t number = 0;
    for (const JointCase& x : cases()) {
      if (!taken(x, number++, simd)) continue;
      check_forward(context, simd, x);
      if (HasFailure()) return;
    }
  }
}

TEST(JointLinear, BackwardEqualsItsFormulaOnEveryTier) {
  for (int32_t simd : tiers()) {
    Context context(simd, 2);
    int32_t number = 0;
    for (const JointCase& x : cases()) {
      if (!taken(x, number++, simd)) continue;
      check_backward(context, simd, x);
      if (HasFailure()) return;
    }
  }
}

void expect_same_bytes(JointFixture& actual, JointFixture& expected, bool dx, const std::string& what) {
  const JointCase& x = actual.x;
  for (size_t i = 0; i < actual.tensors.size(); ++i) {
    const JointTensors &a = actual.tensors[i], &b = expected.tensors[i];
    const std::string of = what + " layer " + std::to_string(i) + " ";
    const int64_t out = a.layer.out, rank = a.layer.rank;
    expect_identical(a.u.floats(), b.u.floats(), x.rows * rank, of + "u");
    expect_identical(a.y.floats(), b.y.floats(), x.rows * out, of + "y");
    expect_identical(a.v.floats(), b.v.floats(), x.rows * rank, of + "v");
    expect_identical(a.grad_a.floats(), b.grad_a.floats(), rank * x.in, of + "grad_a");
    expect_identical(a.grad_b.floats(), b.grad_b.floats(), out * rank, of + "grad_b");
  }
  if (dx) expect_identical(actual.dx.floats(), expected.dx.floats(), x.rows * x.in, what + " dx");
}

TEST(JointLinear, SameBytesForEveryNumberOfThreads) {
  if (!kCpu) GTEST_SKIP() << "threads are the CPU's";
  for (int32_t simd : tiers()) {
    for (const JointCase& x : {JointCase{5, 300, {{200, 8, LN_BF16}, {64, 8, LN_NF4}, {64, 8}}},
                               JointCase{130, 520, {{300, 16, LN_BF16}, {70, 0, LN_BF16}, {70, 4, LN_BF16}}},
                               JointCase{520, 12, {{400, 8}, {2500, 8}, {1100, 16}}}}) {
      Context one(simd, 1);
      JointFixture expected(x);
      expected.run_forward(one);
      expected.run_backward(one);
      for (int32_t threads : {2, 3}) {
        Context context(simd, threads);
        JointFixture actual(x);
        actual.run_forward(context);
        actual.run_backward(context);
        expect_same_bytes(actual, expected, true, name_of(simd, x) + " threads " + std::to_string(threads));
      }
    }
  }
}

TEST(JointLinear, WithoutRowsNothingIsReadOrWritten) {
  Context context;
  ln_linear_fwd_args forward[2] = {};
  ln_linear_bwd_args backward[2] = {};
  for (int i = 0; i < 2; ++i) {
    forward[i].in = backward[i].in = 3;
    forward[i].out = backward[i].out = 4 + i;
    forward[i].rank = backward[i].rank = 2;
  }
  const ln_joint_linear_fwd_args forward_args = {forward, 2};
  EXPECT_EQ(LN_OK, ln_joint_linear_fwd(context, &forward_args)) << context.error();
  const ln_joint_linear_bwd_args backward_args = {backward, 2};
  EXPECT_EQ(LN_OK, ln_joint_linear_bwd(context, &backward_args)) << context.error();
}

TEST(JointLinear, ForwardRefusesBadArguments) {
  Context context;
  const auto refuses = [&](const std::string& text, auto change) {
    JointFixture fixture({4, 5, {{6, 2, LN_F32, LN_F32}, {7, 3}}});
    ln_joint_linear_fwd_args args = fixture.forward();
    change(args, fixture.forward_layers[1]);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_joint_linear_fwd(context, &args));
    EXPECT_EQ("ln_joint_linear_fwd: " + text, context.error());
  };
  refuses("count is 0, must be at least 1", [](auto& args, auto&) { args.count = 0; });
  refuses("count is 5, must be at most 4", [](auto& args, auto&) { args.count = 5; });
  refuses("layers is NULL", [](auto& args, auto&) { args.layers = nullptr; });
  refuses("layers[1]: out is 0, must be at least 1", [](auto&, auto& layer) { layer.out = 0; });
  refuses("layers[1]: rows is 3, must be 4 as in layers[0]", [](auto&, auto& layer) { layer.rows = 3; });
  refuses("layers[1]: rows is 0, must be 4 as in layers[0]", [](auto&, auto& layer) { layer.rows = 0; });
  refuses("layers[1]: in is 6, must be 5 as in layers[0]", [](auto&, auto& layer) { layer.in = 6; });
  refuses("layers[1]: x is not that of layers[0]", [](auto&, auto& layer) { layer.x += 1; });
  refuses("layers[1]: lora_x is given, must be NULL", [](auto&, auto& layer) { layer.lora_x = layer.x; });
  refuses("layers[1]: weight is NULL", [](auto&, auto& layer) { layer.weight = nullptr; });
  refuses("layers[1]: lora_b is NULL", [](auto&, auto& layer) { layer.lora_b = nullptr; });
  refuses("layers[1]: u is NULL", [](auto&, auto& layer) { layer.u = nullptr; });
  refuses("layers[1]: y is NULL", [](auto&, auto& layer) { layer.y = nullptr; });
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_joint_linear_fwd(context, nullptr));
  EXPECT_EQ("ln_joint_linear_fwd: args is NULL", context.error());
}

TEST(JointLinear, BackwardRefusesBadArguments) {
  Context context;
  const auto refuses = [&](const std::string& text, auto change) {
    JointFixture fixture({4, 5, {{6, 2}, {7, 3}}});
    ln_joint_linear_bwd_args args = fixture.backward();
    change(args, fixture.backward_layers[1]);
    EXPECT_EQ(LN_INVALID_ARGUMENT, ln_joint_linear_bwd(context, &args));
    EXPECT_EQ("ln_joint_linear_bwd: " + text, context.error());
  };
  refuses("count is -1, must be at least 1", [](auto& args, auto&) { args.count = -1; });
  refuses("count is 5, must be at most 4", [](auto& args, auto&) { args.count = 5; });
  refuses("layers is NULL", [](auto& args, auto&) { args.layers = nullptr; });
  refuses("layers[1]: rank is -1, must be at least 0", [](auto&, auto& layer) { layer.rank = -1; });
  refuses("layers[1]: accumulate is 1, must be 0 as in layers[0]", [](auto&, auto& layer) { layer.accumulate = 1; });
  refuses("layers[1]: rows is 3, must be 4 as in layers[0]", [](auto&, auto& layer) { layer.rows = 3; });
  refuses("layers[1]: in is 6, must be 5 as in layers[0]", [](auto&, auto& layer) { layer.in = 6; });
  refuses("layers[1]: x is not that of layers[0]", [](auto&, auto& layer) { layer.x += 1; });
  refuses("layers[1]: dx is not that of layers[0]", [](auto&, auto& layer) { layer.dx = nullptr; });
  refuses("layers[1]: lora_x is given, must be NULL", [](auto&, auto& layer) { layer.lora_x = layer.x; });
  refuses("layers[1]: dlora_x is given, must be NULL", [](auto&, auto& layer) { layer.dlora_x = layer.dx; });
  refuses("layers[1]: dy is NULL", [](auto&, auto& layer) { layer.dy = nullptr; });
  refuses("layers[1]: weight is NULL", [](auto&, auto& layer) { layer.weight = nullptr; });
  refuses("layers[1]: v is NULL", [](auto&, auto& layer) { layer.v = nullptr; });
  refuses("layers[1]: grad_a and grad_b must both be given or both be NULL",
          [](auto&, auto& layer) { layer.grad_b = nullptr; });
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_joint_linear_bwd(context, nullptr));
  EXPECT_EQ("ln_joint_linear_bwd: args is NULL", context.error());
}

TEST(JointLinear, RefusesWeightsOfFourBitsThatDoNotFit) {
  if (!kCpu) GTEST_SKIP() << "descriptors lie in device memory there";
  Context context;
  JointFixture fixture({4, 5, {{6, 2}, {7, 3, LN_NF4}}});
  fixture.tensors[1].weight.quantized()->elements = 34;
  const ln_joint_linear_fwd_args forward = fixture.forward();
  context.reserve(LN_OP_JOINT_LINEAR_FWD, forward);
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_joint_linear_fwd(context, &forward));
  EXPECT_EQ(0u, context.error().find("ln_joint_linear_fwd: layers[1]: weight")) << context.error();
  const ln_joint_linear_bwd_args backward = fixture.backward();
  context.reserve(LN_OP_JOINT_LINEAR_BWD, backward);
  EXPECT_EQ(LN_INVALID_ARGUMENT, ln_joint_linear_bwd(context, &backward));
  EXPECT_EQ(0u, context.error().find("ln_joint_linear_bwd: layers[1]: weight")) << context.error();
}

TEST(JointLinear, RefusesScratchThatIsTooSmall) {
  if (!kCpu) GTEST_SKIP() << "small layers need no scratch there";
  Context context;
  JointFixture fixture({40, 5, {{6, 2}, {7, 3}}});
  const ln_joint_linear_fwd_args forward = fixture.forward();
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_joint_linear_fwd(context, &forward));
  const ln_joint_linear_bwd_args backward = fixture.backward();
  EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_joint_linear_bwd(context, &backward));
}

}  // namespace
}  // namespace ln::test
