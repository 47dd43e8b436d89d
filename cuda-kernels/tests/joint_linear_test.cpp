// ln_joint_linear on the ways that only the CUDA library has. Products in bfloat16 are compared with those of rounded
// operands; what an op computes itself and uses again (u, v) is taken from its result.
#include <cstdlib>

#include "joint_layers.hpp"
#include "product_cases.hpp"

namespace ln::test {
namespace {

void check_forward(Context& context, const JointCase& x, bool bf16) {
  JointFixture f(x);
  f.run_forward(context);
  const bool rounds = bf16 && x.rows > 8;
  for (size_t i = 0; i < f.tensors.size(); ++i) {
    JointTensors& t = f.tensors[i];
    const std::string what = x.text() + ": layer " + std::to_string(i);
    const int64_t out = t.layer.out, rank = t.layer.rank;
    Oracle u(x.rows, rank), y(x.rows, out);
    add_product(u, x.rows, rank, x.in, 1, Seen{&f.input, rounds}, Seen{&t.lora_a, rounds, true});
    expect_product(t.u.floats(), u, x.in, what + " u");
    for (int64_t row = 0; row < x.rows; ++row) {
      for (int64_t j = 0; j < out; ++j) y(row, j) = t.layer.bias_dtype < 0 ? 0 : t.bias(0, j);
    }
    add_product(y, x.rows, out, x.in, 1, Seen{&f.input, rounds}, Seen{&t.weight, rounds, true});
    add_product(y, x.rows, out, rank, t.layer.scale, Seen{&t.u, rounds}, Seen{&t.lora_b, rounds, true});
    expect_product(t.y.floats(), y, x.in * (1 + rank), what + " y");
  }
}

void check_backward(Context& context, const JointCase& x, bool bf16) {
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
    const std::string what = x.text() + ": layer " + std::to_string(i);
    const int64_t out = t.layer.out, rank = t.layer.rank;
    Oracle v(x.rows, rank);
    add_product(v, x.rows, rank, out, t.layer.scale, Seen{&t.dy, bf16}, Seen{&t.lora_b, bf16});
    expect_product(t.v.floats(), v, out, what + " v");
    if (!t.layer.frozen) {
      add_product(grad_b[i], out, rank, x.rows, t.layer.scale, Seen{&t.dy, bf16, true}, Seen{&t.u, bf16});
      add_product(grad_a[i], rank, x.in, x.rows, 1, Seen{&t.v, bf16, true}, Seen{&f.input, bf16});
    }
    expect_product(t.grad_b.floats(), grad_b[i], x.rows, what + " grad_b");
    expect_product(t.grad_a.floats(), grad_a[i], x.rows * out, what + " grad_a");
    add_product(dx, x.rows, x.in, out, 1, Seen{&t.dy, bf16}, Seen{&t.weight, bf16});
    add_product(dx, x.rows, x.in, rank, 1, Seen{&t.v, bf16}, Seen{&t.lora_a, bf16});
    terms += out * (1 + rank);
  }
  if (x.input) expect_product(f.dx.floats(), dx, terms, x.text() + " dx");
}

/// Tiles and few rows; adapters with edges, one alone, none.
const JointCase kSmall[] = {
    {2, 72, {{33, 3, LN_NF4, LN_F32}, {40, 8}, {16, 0, LN_BF16}}},
    {8, 65, {{24, 5, LN_F16}, {31, 1, LN_FP4}}, 1},
    {9, 64, {{64, 16, LN_NF4}, {16, 8, LN_NF4, LN_BF16}, {16, 8, LN_NF4}}},
    {33, 100, {{129, 7, LN_BF16}, {30, 0, LN_FP4}, {65, 9, LN_F32}, {8, 4, LN_F16}}, 1},
    {70, 63, {{40, 20, LN_NF4, LN_F32, true}, {33, 17, LN_BF16}}},
    {20, 48, {{24, 0, LN_NF4}, {40, 12, LN_FP4, LN_F16}, {24, 0}}, 1},
    {20, 48, {{24, 0}, {40, 0, LN_BF16, LN_F32}}},
    {65, 40, {{24, 8}, {72, 16, LN_NF4}}, 0, false},
    {17, 32, {{48, 4, LN_NF4}}},
};

/// x and the operands of dx through scratch. With 700 columns of bfloat16 weights and 300 rows dx is a product per
/// layer unless cuBLAS does it, with 1,100 and 256 in any case.
const JointCase kLarge[] = {
    {256, 136, {{136, 16, LN_NF4, LN_F32}, {40, 8, LN_NF4}, {130, 3, LN_NF4}}, 1},
    {300, 130, {{141, 0, LN_FP4}, {33, 5, LN_F32, LN_BF16, true}, {9, 2, LN_F16}, {128, 8, LN_BF16}}},
    {264, 128, {{128, 12, LN_BF16}, {200, 12, LN_BF16, LN_F32}}},
    {300, 128, {{600, 8, LN_BF16}, {100, 4, LN_BF16}}, 1},
    {256, 128, {{1000, 4, LN_BF16}, {100, 0, LN_BF16}}, 1},
    {256, 129, {{129, 0, LN_NF4}, {140, 0, LN_NF4}}},
    {260, 128, {{130, 0, LN_NF4}, {72, 33, LN_NF4}}},
    {256, 256, {{64, 64, LN_NF4}, {72, 64, LN_FP4}}, 0, false},
    {256, 264, {{64, 80, LN_NF4}, {72, 40, LN_FP4, -1, true}, {64, 20}}},
};

/// Without copies there are fewer ways.
const JointCase kLargeInFloat32[] = {kLarge[0], kLarge[1]};

/// u and grad_a in slices.
const JointCase kSliced[] = {
    {1040, 16, {{24, 8}, {40, 3, LN_NF4}}},
    {12, 1024, {{40, 16, LN_NF4}, {24, 20, LN_NF4}, {8, 3}}},
};

template <typename Cases>
void check_all(const Cases& cases, int32_t precision, int32_t gemm) {
  int32_t number = 0;
  for (const JointCase& x : cases) {
    Context context(product_options(number++ % 3, precision, gemm));
    check_forward(context, x, precision == LN_PRECISION_BF16);
    check_backward(context, x, precision == LN_PRECISION_BF16);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(CudaJointLinear, TilesAndFewRowsInBfloat16) { check_all(kSmall, LN_PRECISION_BF16, LN_GEMM_OWN); }
TEST(CudaJointLinear, LargeOnesThroughScratch) { check_all(kLarge, LN_PRECISION_BF16, LN_GEMM_OWN); }
TEST(CudaJointLinear, LargeOnesInFloat32) { check_all(kLargeInFloat32, LN_PRECISION_F32, LN_GEMM_OWN); }
TEST(CudaJointLinear, SlicesOfSums) {
  check_all(kSliced, LN_PRECISION_BF16, LN_GEMM_OWN);
  check_all(kSliced, LN_PRECISION_F32, LN_GEMM_OWN);
}

template <typename Cases>
void check_cublas(const Cases& large, int32_t precision) {
  setenv("LORA_NATIVE_CUBLAS", LN_FAKE_CUBLAS, 1);
  check_all(kSmall, precision, LN_GEMM_CUBLAS);
  check_all(large, precision, LN_GEMM_CUBLAS);
  unsetenv("LORA_NATIVE_CUBLAS");
}

TEST(CudaJointLinear, SameCasesThroughCublasInBfloat16) { check_cublas(kLarge, LN_PRECISION_BF16); }
TEST(CudaJointLinear, SameCasesThroughCublasInFloat32) { check_cublas(kLargeInFloat32, LN_PRECISION_F32); }

TEST(CudaJointLinear, SameBytesForEverySchedule) {
  for (const JointCase& x : {kSmall[3], kSmall[4], kLarge[0], kSliced[0], kSliced[1]}) {
    Context first(product_options(0, LN_PRECISION_BF16));
    JointFixture expected(x);
    expected.run_forward(first);
    expected.run_backward(first);
    for (int32_t schedule : {1, 2}) {
      Context context(product_options(schedule, LN_PRECISION_BF16));
      JointFixture actual(x);
      actual.run_forward(context);
      actual.run_backward(context);
      for (size_t i = 0; i < x.layers.size(); ++i) {
        const JointTensors &a = actual.tensors[i], &e = expected.tensors[i];
        const std::string what = x.text() + ": layer " + std::to_string(i);
        const int64_t out = e.layer.out, rank = e.layer.rank;
        expect_identical(a.u.floats(), e.u.floats(), x.rows * rank, what + " u");
        expect_identical(a.y.floats(), e.y.floats(), x.rows * out, what + " y");
        expect_identical(a.v.floats(), e.v.floats(), x.rows * rank, what + " v");
        expect_identical(a.grad_a.floats(), e.grad_a.floats(), rank * x.in, what + " grad_a");
        expect_identical(a.grad_b.floats(), e.grad_b.floats(), out * rank, what + " grad_b");
      }
      expect_identical(actual.dx.floats(), expected.dx.floats(), x.rows * x.in, x.text() + " dx");
    }
  }
}

TEST(CudaJointLinear, ScratchIsThatOfShapesAlone) {
  for (int32_t precision : {LN_PRECISION_BF16, LN_PRECISION_F32}) {
    Context context(product_options(0, precision));
    for (const JointCase& x : kLarge) {
      JointFixture f(x);
      ln_joint_linear_bwd_args args = f.backward();
      int64_t bytes = 0, without = 0;
      ASSERT_EQ(LN_OK, ln_scratch_bytes(context, LN_OP_JOINT_LINEAR_BWD, &args, &bytes));
      std::vector<ln_linear_bwd_args> sizes(x.layers.size());
      for (size_t i = 0; i < sizes.size(); ++i) {
        sizes[i].rows = x.rows;
        sizes[i].in = x.in;
        sizes[i].out = x.layers[i].out;
        sizes[i].rank = x.layers[i].rank;
        sizes[i].weight_dtype = x.layers[i].weight_dtype;
      }
      args.layers = sizes.data();
      ASSERT_EQ(LN_OK, ln_scratch_bytes(context, LN_OP_JOINT_LINEAR_BWD, &args, &without));
      EXPECT_EQ(bytes, without) << x.text();
      if (bytes == 0) continue;
      EXPECT_EQ(LN_OK, ln_context_set_scratch(context, nullptr, 0));
      args = f.backward();
      EXPECT_EQ(LN_SCRATCH_TOO_SMALL, ln_joint_linear_bwd(context, &args));
      EXPECT_EQ("ln_joint_linear_bwd: needs " + std::to_string(bytes) + " bytes of scratch, the context has 0",
                context.error());
    }
  }
}

TEST(CudaJointLinear, ScratchOfNoLayersIsNone) {
  Context context(product_options(0, LN_PRECISION_BF16));
  int64_t bytes = -1;
  const ln_joint_linear_fwd_args forward = {nullptr, 0};
  EXPECT_EQ(LN_OK, ln_scratch_bytes(context, LN_OP_JOINT_LINEAR_FWD, &forward, &bytes));
  EXPECT_EQ(0, bytes);
  const ln_joint_linear_bwd_args backward = {nullptr, LN_JOINT_LAYERS + 1};
  EXPECT_EQ(LN_OK, ln_scratch_bytes(context, LN_OP_JOINT_LINEAR_BWD, &backward, &bytes));
  EXPECT_EQ(0, bytes);
}

}  // namespace
}  // namespace ln::test
