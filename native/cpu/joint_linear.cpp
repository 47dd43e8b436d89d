// ln_joint_linear_fwd and ln_joint_linear_bwd. Forward, the outputs are products that share the packed x, followed by
// the u of all adapters; a product multiplies x and its own u. Backward, dx is a product over the terms of as many
// layers as are packed together well, and the adapters' gradients are computed beside the next one.
#include <algorithm>

#include "../abi/joint_layers.hpp"
#include "linear_products.hpp"
#include "products.hpp"
#include "quantized_check.hpp"
#include "scratch.hpp"

namespace ln {

namespace cpu {

namespace {

// Packed floats of the terms of several layers in one product (2.25 MiB).
constexpr double kJoinedFloats = 9 << 16;

template <typename Args>
int64_t total_rank(const Args& args) {
  int64_t rank = 0;
  for (int64_t i = 0; i < args.count; ++i) rank += args.layers[i].rank;
  return rank;
}

/// Of all layers before anything is written.
template <typename Args>
void check_weights(const Args& args, const Checker& check) {
  for (int64_t i = 0; i < args.count; ++i) {
    const auto& layer = args.layers[i];
    require_quantized(check.of(kJointLayerNames[i]), "weight", layer.weight, layer.weight_dtype, layer.in * layer.out);
  }
}

double forward_floats(const ln_context& context, const ln_joint_linear_fwd_args& args) {
  return packed_floats(context, args.layers[0].rows, 1, args.layers[0].in + total_rank(args));
}

double backward_floats(const ln_context& context, const ln_joint_linear_bwd_args& args) {
  const int64_t rows = args.layers[0].rows;
  int64_t steps = total_rank(args);
  double gradients = 0;
  for (int64_t i = 0; i < args.count; ++i) {
    steps += args.layers[i].out;
    gradients +=
        packed_floats(context, args.layers[i].out, 1, rows) + packed_floats(context, args.layers[i].rank, 1, rows);
  }
  return packed_floats(context, rows, 1, steps) + gradients;
}

/// Behind the layers from `first` on whose terms of dx one product takes: those that are packed together are to stay
/// near the processor.
int64_t joined(const ln_context& context, const ln_joint_linear_bwd_args& args, int64_t first) {
  int64_t last = first, steps = 0;
  for (; last < args.count; ++last) {
    steps += args.layers[last].out + args.layers[last].rank;
    if (last > first && packed_floats(context, args.layers[last].rows, 1, steps) > kJoinedFloats) break;
  }
  return last;
}

/// What layers [first, last) add to dx, and v of each.
Product joint_input_gradient(const ln_joint_linear_bwd_args& args, int64_t first, int64_t last) {
  const ln_linear_bwd_args& shared = args.layers[0];
  const bool adds = shared.accumulate != 0 || first > 0;
  Product product = start(shared.rows, shared.in, shared.dx, shared.in, adds ? 1.0f : 0.0f);
  for (int64_t i = first; i < last; ++i)
    add_input_gradient(product, linear_layer(args.layers[i]), args.layers[i].dy, args.layers[i].v, true);
  return product;
}

/// Gradients of b and of a in turns; nothing for a layer without trained adapter.
Product joint_adapter_gradient(const ln_context& context, const ln_joint_linear_bwd_args& args, int64_t i) {
  const ln_linear_bwd_args& layer = args.layers[i / 2];
  if (layer.rank == 0 || layer.grad_a == nullptr) return {};
  return i % 2 == 0 ? gradient_of_b(linear_layer(layer), layer.dy, layer.u, layer.grad_b,
                                    takes_transposed(context, layer.rank))
                    : gradient_of_a(linear_layer(layer), layer.v, layer.x, layer.grad_a);
}

}  // namespace

int64_t joint_linear_scratch_bytes(const ln_context& context, int32_t op, const void* args) {
  return product_scratch_bytes(context,
                               op == LN_OP_JOINT_LINEAR_FWD
                                   ? forward_floats(context, *static_cast<const ln_joint_linear_fwd_args*>(args))
                                   : backward_floats(context, *static_cast<const ln_joint_linear_bwd_args*>(args)));
}

}  // namespace cpu

namespace backend {

void joint_linear_fwd(ln_context& context, const ln_joint_linear_fwd_args& args, const Checker& check) {
  cpu::check_weights(args, check);
  const int64_t bytes = cpu::joint_linear_scratch_bytes(context, LN_OP_JOINT_LINEAR_FWD, &args);
  void* const scratch = require_scratch(context, check, bytes);
  cpu::JointLayer layers[LN_JOINT_LAYERS];
  for (int64_t i = 0; i < args.count; ++i) layers[i] = {cpu::linear_layer(args.layers[i]), args.layers[i].u};
  const bool shared = cpu::shares_packing(context, args.layers[0].rows, cpu::joint_steps(layers, args.count));
  cpu::run_products(context, scratch, bytes, cpu::ProductList(args.count, [&](int64_t i) {
                      const ln_linear_fwd_args& own = args.layers[i];
                      return shared
                                 ? cpu::joint_output(layers, args.count, i, own.x, own.bias, own.bias_dtype, own.y)
                                 : cpu::output(layers[i].layer, own.x, own.u, false, own.bias, own.bias_dtype, own.y);
                    }));
}

void joint_linear_bwd(ln_context& context, const ln_joint_linear_bwd_args& args, const Checker& check) {
  const bool through = args.layers[0].dx != nullptr;
  if (through) cpu::check_weights(args, check);
  const int64_t bytes = cpu::joint_linear_scratch_bytes(context, LN_OP_JOINT_LINEAR_BWD, &args);
  void* const scratch = require_scratch(context, check, bytes);
  const auto run = [&](int64_t count, const auto& product) {
    cpu::run_products(context, scratch, bytes, cpu::ProductList(count, product));
  };
  if (!through) {
    run(args.count, [&](int64_t i) {
      return cpu::low_rank_gradient(cpu::linear_layer(args.layers[i]), args.layers[i].dy, args.layers[i].v);
    });
    run(2 * args.count, [&](int64_t i) { return cpu::joint_adapter_gradient(context, args, i); });
    return;
  }
  // Gradients of layers [done, first) need what the last run has made; dx of layers [first, last) does not wait for
  // them.
  for (int64_t done = 0, first = 0; done < args.count;) {
    const int64_t last = cpu::joined(context, args, first);
    run(1 + 2 * (first - done), [&](int64_t i) {
      if (i > 0) return cpu::joint_adapter_gradient(context, args, 2 * done + i - 1);
      return first < last ? cpu::joint_input_gradient(args, first, last) : cpu::Product{};
    });
    done = first;
    first = last;
  }
}

}  // namespace backend
}  // namespace ln
