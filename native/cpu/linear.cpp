#include "linear_products.hpp"
#include "products.hpp"
#include "quantized_check.hpp"
#include "scratch.hpp"

namespace ln::backend {

using cpu::LinearLayer;
using cpu::ProductList;

void linear_fwd(ln_context& context, const ln_linear_fwd_args& args, const Checker& check) {
  cpu::require_quantized(check, "weight", args.weight, args.weight_dtype, args.in * args.out);
  const int64_t bytes = cpu::matmul_scratch_bytes(context, LN_OP_LINEAR_FWD, &args);
  void* const scratch = require_scratch(context, check, bytes);
  const LinearLayer layer = cpu::linear_layer(args);
  const auto run = [&](const auto& product) { cpu::run_products(context, scratch, bytes, ProductList(1, product)); };
  const bool apart = args.rank > 0 && args.lora_x != nullptr;
  if (apart) run([&](int64_t) { return cpu::down_projection(layer, args.lora_x, args.u); });
  run([&](int64_t) { return cpu::output(layer, args.x, args.u, apart, args.bias, args.bias_dtype, args.y); });
}

void linear_bwd(ln_context& context, const ln_linear_bwd_args& args, const Checker& check) {
  if (args.dx != nullptr) {
    cpu::require_quantized(check, "weight", args.weight, args.weight_dtype, args.in * args.out);
  }
  const int64_t bytes = cpu::matmul_scratch_bytes(context, LN_OP_LINEAR_BWD, &args);
  void* const scratch = require_scratch(context, check, bytes);
  const LinearLayer layer = cpu::linear_layer(args);
  const auto run = [&](int64_t count, const auto& product) {
    cpu::run_products(context, scratch, bytes, ProductList(count, product));
  };
  if (args.dx != nullptr) {
    run(1, [&](int64_t) {
      return cpu::input_gradient(layer, args.dy, args.v, args.dlora_x == nullptr, args.accumulate != 0, args.dx);
    });
  } else if (args.rank > 0) {
    run(1, [&](int64_t) { return cpu::low_rank_gradient(layer, args.dy, args.v); });
  }
  if (args.rank > 0 && args.grad_a != nullptr) {
    const bool across = cpu::takes_transposed(context, args.rank);
    run(2, [&](int64_t side) {
      return side == 0 ? cpu::gradient_of_b(layer, args.dy, args.u, args.grad_b, across)
                       : cpu::gradient_of_a(layer, args.v, args.lora_x == nullptr ? args.x : args.lora_x, args.grad_a);
    });
  }
  if (args.dlora_x != nullptr)
    run(1, [&](int64_t) { return cpu::adapter_input_gradient(layer, args.v, args.dlora_x); });
}

}  // namespace ln::backend
