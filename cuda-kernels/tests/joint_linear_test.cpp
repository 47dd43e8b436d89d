// ln_joint_linear on the ways that only the CUDA library has. Products in bfloat16 are compared with those of rounded
// operands; what an op computes itself and uses again (u, v) is taken from its result.
#include <cstdlib>

#include "product_cases.hpp"

namespace ln::test {
namespace {

struct Layer {
  int64_t out, rank = 0;
  int32_t weight_dtype = LN_F32;
  int32_t bias_dtype = -1;  // none
  bool frozen = false;
};

struct Case {
  int64_t rows, in;
  std::vector<Layer> layers;
  int32_t accumulate = 0;
  bool input = true;  // dx wanted

  std::string text() const {
    std::string result = "rows " + std::to_string(rows) + " in " + std::to_string(in);
    for (const Layer& layer : layers) {
      result += " | out " + std::to_string(layer.out) + " rank " + std::to_string(layer.rank) + " " +
                dtype_name(layer.weight_dtype) + (layer.frozen ? " frozen" : "");
    }
    return result + (accumulate ? " accumulate" : "") + (input ? "" : " no dx");
  }
};

struct LayerTensors {
  Layer layer;
  float scale;
  TestMatrix weight, bias, lora_a, lora_b, u, y, dy, v, grad_a, grad_b;

  LayerTensors(const Layer& l, float s, int64_t rows, int64_t in, Random& random)
      : layer(l),
        scale(s),
        weight(l.out, in, l.weight_dtype, random),
        bias(1, l.out, l.bias_dtype < 0 ? LN_F32 : l.bias_dtype, random),
        lora_a(l.rank, in, LN_F32, random),
        lora_b(l.out, l.rank, LN_F32, random),
        u(rows, l.rank, LN_F32, random),
        y(rows, l.out, LN_F32, random),
        dy(rows, l.out, LN_F32, random),
        v(rows, l.rank, LN_F32, random),
        grad_a(l.rank, in, LN_F32, random),
        grad_b(l.out, l.rank, LN_F32, random) {}
};

struct Fixture {
  Case x;
  Random random{31};
  TestMatrix input, dx;
  std::vector<LayerTensors> tensors;
  std::vector<ln_linear_fwd_args> forward_layers;
  std::vector<ln_linear_bwd_args> backward_layers;

  explicit Fixture(const Case& c) : x(c), input(c.rows, c.in, LN_F32, random), dx(c.rows, c.in, LN_F32, random) {
    float scale = 0.5f;
    for (const Layer& layer : c.layers) tensors.emplace_back(layer, scale += 0.25f, c.rows, c.in, random);
    for (LayerTensors& t : tensors) {
      const bool adapted = t.layer.rank > 0, trained = adapted && !t.layer.frozen;
      forward_layers.push_back({input.floats(), nullptr, t.weight.data(),
                                t.layer.bias_dtype < 0 ? nullptr : t.bias.data(), adapted ? t.lora_a.floats() : nullptr,
                                adapted ? t.lora_b.floats() : nullptr, adapted ? t.u.floats() : nullptr, t.y.floats(),
                                c.rows, c.in, t.layer.out, t.layer.rank, t.layer.weight_dtype, t.layer.bias_dtype,
                                t.scale, 0});
      backward_layers.push_back({t.dy.floats(),
                                 input.floats(),
                                 nullptr,
                                 t.weight.data(),
                                 adapted ? t.lora_a.floats() : nullptr,
                                 adapted ? t.lora_b.floats() : nullptr,
                                 adapted ? t.u.floats() : nullptr,
                                 adapted ? t.v.floats() : nullptr,
                                 trained ? t.grad_a.floats() : nullptr,
                                 trained ? t.grad_b.floats() : nullptr,
                                 c.input ? dx.floats() : nullptr,
                                 nullptr,
                                 c.rows,
                                 c.in,
                                 t.layer.out,
                                 t.layer.rank,
                                 t.layer.weight_dtype,
                                 c.accumulate,
                                 t.scale,
                                 0});
    }
  }

  ln_joint_linear_fwd_args forward_args() const {
    return {forward_layers.data(), static_cast<int64_t>(forward_layers.size())};
  }
  ln_joint_linear_bwd_args backward_args() const {
    return {backward_layers.data(), static_cast<int64_t>(backward_layers.size())};
  }

  void forward(Context& context) {
    for (LayerTensors& t : tensors) {
      for (int64_t i = 0; i < x.rows * t.layer.out; ++i) t.y.floats()[i] = NAN;
      for (int64_t i = 0; i < x.rows * t.layer.rank; ++i) t.u.floats()[i] = NAN;
    }
    const ln_joint_linear_fwd_args args = forward_args();
    context.reserve(LN_OP_JOINT_LINEAR_FWD, args);
    ASSERT_EQ(LN_OK, ln_joint_linear_fwd(context, &args)) << context.error();
    for (LayerTensors& t : tensors) t.u.refresh();
  }

  void backward(Context& context) {
    for (LayerTensors& t : tensors) {
      for (int64_t i = 0; i < x.rows * t.layer.rank; ++i) t.v.floats()[i] = NAN;
    }
    for (int64_t i = 0; i < x.rows * x.in && !x.accumulate; ++i) dx.floats()[i] = NAN;
    const ln_joint_linear_bwd_args args = backward_args();
    context.reserve(LN_OP_JOINT_LINEAR_BWD, args);
    ASSERT_EQ(LN_OK, ln_joint_linear_bwd(context, &args)) << context.error();
    for (LayerTensors& t : tensors) t.v.refresh();
  }
};

Oracle copy(const TestMatrix& m) {
  Oracle result(m.rows(), m.columns());
  for (int64_t i = 0; i < m.rows(); ++i) {
    for (int64_t j = 0; j < m.columns(); ++j) result(i, j) = m(i, j);
  }
  return result;
}

void check_forward(Context& context, const Case& x, bool bf16) {
  Fixture f(x);
  f.forward(context);
  const bool rounds = bf16 && x.rows > 8;
  for (size_t i = 0; i < f.tensors.size(); ++i) {
    LayerTensors& t = f.tensors[i];
    const std::string what = x.text() + ": layer " + std::to_string(i);
    const int64_t out = t.layer.out, rank = t.layer.rank;
    Oracle u(x.rows, rank), y(x.rows, out);
    add_product(u, x.rows, rank, x.in, 1, Seen{&f.input, rounds}, Seen{&t.lora_a, rounds, true});
    expect_product(t.u.floats(), u, x.in, what + " u");
    for (int64_t row = 0; row < x.rows; ++row) {
      for (int64_t j = 0; j < out; ++j) y(row, j) = t.layer.bias_dtype < 0 ? 0 : t.bias(0, j);
    }
    add_product(y, x.rows, out, x.in, 1, Seen{&f.input, rounds}, Seen{&t.weight, rounds, true});
    add_product(y, x.rows, out, rank, t.scale, Seen{&t.u, rounds}, Seen{&t.lora_b, rounds, true});
    expect_product(t.y.floats(), y, x.in * (1 + rank), what + " y");
  }
}

void check_backward(Context& context, const Case& x, bool bf16) {
  Fixture f(x);
  Oracle dx = x.accumulate ? copy(f.dx) : Oracle(x.rows, x.in);
  std::vector<Oracle> grad_a, grad_b;
  for (const LayerTensors& t : f.tensors) {
    grad_a.push_back(copy(t.grad_a));
    grad_b.push_back(copy(t.grad_b));
  }
  f.backward(context);
  int64_t terms = 0;
  for (size_t i = 0; i < f.tensors.size(); ++i) {
    LayerTensors& t = f.tensors[i];
    const std::string what = x.text() + ": layer " + std::to_string(i);
    const int64_t out = t.layer.out, rank = t.layer.rank;
    Oracle v(x.rows, rank);
    add_product(v, x.rows, rank, out, t.scale, Seen{&t.dy, bf16}, Seen{&t.lora_b, bf16});
    expect_product(t.v.floats(), v, out, what + " v");
    if (!t.layer.frozen) {
      add_product(grad_b[i], out, rank, x.rows, t.scale, Seen{&t.dy, bf16, true}, Seen{&t.u, bf16});
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
const Case kSmall[] = {
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
const Case kLarge[] = {
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
const Case kLargeInFloat32[] = {kLarge[0], kLarge[1]};

/// u and grad_a in slices.
const Case kSliced[] = {
    {1040, 16, {{24, 8}, {40, 3, LN_NF4}}},
    {12, 1024, {{40, 16, LN_NF4}, {24, 20, LN_NF4}, {8, 3}}},
};

template <typename Cases>
void check_all(const Cases& cases, int32_t precision, int32_t gemm) {
  int32_t number = 0;
  for (const Case& x : cases) {
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
  for (const Case& x : {kSmall[3], kSmall[4], kLarge[0], kSliced[0], kSliced[1]}) {
    Context first(product_options(0, LN_PRECISION_BF16));
    Fixture expected(x);
    expected.forward(first);
    expected.backward(first);
    for (int32_t schedule : {1, 2}) {
      Context context(product_options(schedule, LN_PRECISION_BF16));
      Fixture actual(x);
      actual.forward(context);
      actual.backward(context);
      for (size_t i = 0; i < x.layers.size(); ++i) {
        const LayerTensors &a = actual.tensors[i], &e = expected.tensors[i];
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
    for (const Case& x : kLarge) {
      Fixture f(x);
      ln_joint_linear_bwd_args args = f.backward_args();
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
      args = f.backward_args();
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
