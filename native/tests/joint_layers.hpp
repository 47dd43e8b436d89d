// Cases of ln_joint_linear, for the tests of both libraries.
#pragma once

#include "matrices.hpp"

namespace ln::test {

struct JointLayer {
  int64_t out, rank = 0;
  int32_t weight_dtype = LN_F32;
  int32_t bias_dtype = -1;  // none
  bool frozen = false;      // grad_a and grad_b NULL
  float scale = 0.75f;      // of the first layer; every next one has more
};

struct JointCase {
  int64_t rows, in;
  std::vector<JointLayer> layers;
  int32_t accumulate = 0;
  bool input = true;  // dx wanted

  std::string text() const {
    std::string result = "rows " + std::to_string(rows) + " in " + std::to_string(in) +
                         (accumulate ? " accumulate" : "") + (input ? "" : " no dx");
    for (const JointLayer& layer : layers) {
      result += " | out " + std::to_string(layer.out) + " rank " + std::to_string(layer.rank) + " " +
                dtype_name(layer.weight_dtype) + " bias " + std::to_string(layer.bias_dtype) +
                (layer.frozen ? " frozen" : "");
    }
    return result;
  }
};

/// What one layer has of its own.
struct JointTensors {
  JointLayer layer;
  TestMatrix weight, bias, lora_a, lora_b, u, y, dy, v, grad_a, grad_b;

  JointTensors(const JointLayer& l, int64_t rows, int64_t in, Random& random)
      : layer(l),
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

/// Layers of one input, and what ln_joint_linear takes of them.
struct JointFixture {
  JointCase x;
  Random random{29};
  TestMatrix input, dx;
  std::vector<JointTensors> tensors;
  std::vector<ln_linear_fwd_args> forward_layers;
  std::vector<ln_linear_bwd_args> backward_layers;

  explicit JointFixture(const JointCase& c)
      : x(c), input(c.rows, c.in, LN_F32, random), dx(c.rows, c.in, LN_F32, random) {
    for (JointLayer layer : c.layers) {
      layer.scale += 0.25f * static_cast<float>(tensors.size());
      tensors.emplace_back(layer, c.rows, c.in, random);
    }
    for (JointTensors& t : tensors) {
      forward_layers.push_back(forward_layer(t));
      backward_layers.push_back(backward_layer(t));
    }
  }

  ln_linear_fwd_args forward_layer(JointTensors& t) {
    ln_linear_fwd_args args{};
    args.x = input.floats();
    args.weight = t.weight.data();
    args.bias = t.layer.bias_dtype < 0 ? nullptr : t.bias.data();
    if (t.layer.rank > 0) {
      args.lora_a = t.lora_a.floats();
      args.lora_b = t.lora_b.floats();
      args.u = t.u.floats();
    }
    args.y = t.y.floats();
    args.rows = x.rows;
    args.in = x.in;
    args.out = t.layer.out;
    args.rank = t.layer.rank;
    args.weight_dtype = t.layer.weight_dtype;
    args.bias_dtype = t.layer.bias_dtype;
    args.lora_scale = t.layer.scale;
    return args;
  }

  ln_linear_bwd_args backward_layer(JointTensors& t) {
    ln_linear_bwd_args args{};
    args.dy = t.dy.floats();
    args.x = input.floats();
    args.weight = t.weight.data();
    if (t.layer.rank > 0) {
      args.lora_a = t.lora_a.floats();
      args.lora_b = t.lora_b.floats();
      args.u = t.u.floats();
      args.v = t.v.floats();
      args.grad_a = t.layer.frozen ? nullptr : t.grad_a.floats();
      args.grad_b = t.layer.frozen ? nullptr : t.grad_b.floats();
    }
    args.dx = x.input ? dx.floats() : nullptr;
    args.rows = x.rows;
    args.in = x.in;
    args.out = t.layer.out;
    args.rank = t.layer.rank;
    args.weight_dtype = t.layer.weight_dtype;
    args.accumulate = x.accumulate;
    args.lora_scale = t.layer.scale;
    return args;
  }

  ln_joint_linear_fwd_args forward() const {
    return {forward_layers.data(), static_cast<int64_t>(forward_layers.size())};
  }
  ln_joint_linear_bwd_args backward() const {
    return {backward_layers.data(), static_cast<int64_t>(backward_layers.size())};
  }

  void run_forward(Context& context) {
    for (JointTensors& t : tensors) {
      for (int64_t i = 0; i < x.rows * t.layer.out; ++i) t.y.floats()[i] = NAN;
      for (int64_t i = 0; i < x.rows * t.layer.rank; ++i) t.u.floats()[i] = NAN;
    }
    const ln_joint_linear_fwd_args args = forward();
    context.reserve(LN_OP_JOINT_LINEAR_FWD, args);
    ASSERT_EQ(LN_OK, ln_joint_linear_fwd(context, &args)) << context.error();
    for (JointTensors& t : tensors) t.u.refresh();
  }

  void run_backward(Context& context) {
    for (JointTensors& t : tensors) {
      for (int64_t i = 0; i < x.rows * t.layer.rank; ++i) t.v.floats()[i] = NAN;
    }
    for (int64_t i = 0; i < x.rows * x.in && !x.accumulate; ++i) dx.floats()[i] = NAN;
    const ln_joint_linear_bwd_args args = backward();
    context.reserve(LN_OP_JOINT_LINEAR_BWD, args);
    ASSERT_EQ(LN_OK, ln_joint_linear_bwd(context, &args)) << context.error();
    for (JointTensors& t : tensors) t.v.refresh();
  }
};

inline Oracle copy(const TestMatrix& m) {
  Oracle result(m.rows(), m.columns());
  for (int64_t i = 0; i < m.rows(); ++i) {
    for (int64_t j = 0; j < m.columns(); ++j) result(i, j) = m(i, j);
  }
  return result;
}

}  // namespace ln::test
