#include <cstring>
#include <string>

#include "grouped_layers.hpp"
#include "products.hpp"
#include "quantized_check.hpp"
#include "scratch.hpp"

namespace ln {

namespace cpu {

namespace {

/// The layer of expert e on its own rows; rows 0 for an expert without rows, of which nothing else is read then.
template <typename Args>
LinearLayer layer_of(const Args& args, int64_t e) {
  LinearLayer layer{};
  layer.rows = args.offsets[e + 1] - args.offsets[e];
  if (layer.rows == 0) return layer;
  if (args.weights != nullptr) layer.weight = args.weights[e];
  layer.weight_dtype = args.weight_dtype;
  layer.in = args.in;
  layer.out = args.out;
  layer.ldu = args.max_rank;
  if (args.max_rank > 0 && args.ranks[e] > 0) {
    layer.rank = args.ranks[e];
    layer.lora_a = args.lora_a[e];
    layer.lora_b = args.lora_b[e];
    layer.scale = args.scales[e];
  }
  return layer;
}

template <typename Args>
void check_offsets(const Args& args, const Checker& check) {
  if (args.offsets[0] != 0)
    check.fail(LN_INVALID_ARGUMENT, "offsets[0] is " + std::to_string(args.offsets[0]) + ", must be 0");
  for (int64_t e = 0; e < args.experts; ++e) {
    if (args.offsets[e + 1] < args.offsets[e]) {
      check.fail(LN_INVALID_ARGUMENT, "expert " + std::to_string(e) + ": offsets[" + std::to_string(e + 1) + "] is " +
                                          std::to_string(args.offsets[e + 1]) + ", less than offsets[" +
                                          std::to_string(e) + "], " + std::to_string(args.offsets[e]));
    }
  }
  if (args.offsets[args.experts] != args.rows) {
    check.fail(LN_INVALID_ARGUMENT, "offsets[" + std::to_string(args.experts) + "] is " +
                                        std::to_string(args.offsets[args.experts]) + ", must be rows, " +
                                        std::to_string(args.rows));
  }
}

/// Refuses a NULL or misaligned entry of a table; the text is made only then.
void check_entry(const Checker& check, const char* table, int64_t e, const void* entry, int64_t alignment) {
  if (entry != nullptr && reinterpret_cast<uintptr_t>(entry) % static_cast<uintptr_t>(alignment) == 0) return;
  std::string name = table;
  name += '[';
  name += std::to_string(e);
  name += ']';
  check.pointer(name.c_str(), entry, alignment);
}

template <typename Args>
void check_weight(const Args& args, int64_t e, const Checker& check) {
  check_entry(check, "weights", e, args.weights[e], weight_alignment(args.weight_dtype));
  if (!is_quantized(args.weight_dtype)) return;
  const std::string name = "weights[" + std::to_string(e) + "]";
  require_quantized(check, name.c_str(), args.weights[e], args.weight_dtype, args.in * args.out);
}

/// Everything about the experts with rows that both passes read.
template <typename Args>
void check_read(const Args& args, bool weights_are_read, const Checker& check) {
  check_offsets(args, check);
  for (int64_t e = 0; e < args.experts; ++e) {
    if (args.offsets[e + 1] == args.offsets[e]) continue;
    if (weights_are_read) check_weight(args, e, check);
    if (args.max_rank == 0) continue;
    if (args.ranks[e] < 0 || args.ranks[e] > args.max_rank) {
      check.fail(LN_INVALID_ARGUMENT, "ranks[" + std::to_string(e) + "] is " + std::to_string(args.ranks[e]) +
                                          ", must be between 0 and max_rank, " + std::to_string(args.max_rank));
    }
    if (args.ranks[e] == 0) continue;
    check_entry(check, "lora_a", e, args.lora_a[e], 4);
    check_entry(check, "lora_b", e, args.lora_b[e], 4);
  }
}

/// The columns of u or v that an expert's rank leaves unused.
template <typename Args>
void clear_unused_columns(const ln_context& context, const Args& args, float* u) {
  pool(context).ranges(
      args.experts, args.rows * args.max_rank < kElementsPerTask ? args.experts : 1,
      [&](int64_t first, int64_t last, int) {
        for (int64_t e = first; e < last; ++e) {
          const int64_t rank = args.ranks[e];
          for (int64_t row = args.offsets[e]; row < args.offsets[e + 1] && rank < args.max_rank; ++row) {
            std::memset(u + row * args.max_rank + rank, 0, static_cast<size_t>(args.max_rank - rank) * sizeof(float));
          }
        }
      });
}

template <typename ProductOf>
void run_backward(const ln_context& context, const ln_grouped_linear_bwd_args& args, int64_t count,
                  const ProductOf& product) {
  run_products(context, context.scratch, matmul_scratch_bytes(context, LN_OP_GROUPED_LINEAR_BWD, &args),
               ProductList(count, product));
}

}  // namespace

void check_experts(const ln_grouped_linear_fwd_args& args, const Checker& check) { check_read(args, true, check); }

void check_experts(const ln_grouped_linear_bwd_args& args, const Checker& check) {
  check_read(args, args.dx != nullptr, check);
  for (int64_t e = 0; e < args.experts && args.max_rank > 0 && args.grad_a != nullptr; ++e) {
    if (args.offsets[e + 1] == args.offsets[e] || args.ranks[e] == 0) continue;
    check_entry(check, "grad_a", e, args.grad_a[e], 4);
    check_entry(check, "grad_b", e, args.grad_b[e], 4);
  }
}

void clear_unused(const ln_context& context, const ln_grouped_linear_fwd_args& args) {
  if (args.max_rank > 0) clear_unused_columns(context, args, args.u);
}

void clear_unused(const ln_context& context, const ln_grouped_linear_bwd_args& args) {
  if (args.max_rank > 0) clear_unused_columns(context, args, args.v);
}

Product expert_output(const ln_grouped_linear_fwd_args& args, int64_t e) {
  const int64_t row = args.offsets[e];
  return output(layer_of(args, e), args.x + row * args.in, args.u + row * args.max_rank, args.lora_x != nullptr,
                nullptr, LN_F32, args.y + row * args.out);
}

LinearLayer expert_layer(const ln_grouped_linear_fwd_args& args, int64_t e) { return layer_of(args, e); }
LinearLayer expert_layer(const ln_grouped_linear_bwd_args& args, int64_t e) { return layer_of(args, e); }

void add_expert_gradient(Product& product, const ln_grouped_linear_bwd_args& args, int64_t e) {
  const int64_t row = args.offsets[e];
  add_input_gradient(product, layer_of(args, e), args.dy + row * args.out, args.v + row * args.max_rank, true);
}

Product expert_low_rank_gradient(const ln_grouped_linear_bwd_args& args, int64_t e) {
  const int64_t row = args.offsets[e];
  return low_rank_gradient(layer_of(args, e), args.dy + row * args.out, args.v + row * args.max_rank);
}

Product expert_adapter_gradient(const ln_context& context, const ln_grouped_linear_bwd_args& args, int64_t i) {
  if (args.max_rank == 0 || args.grad_a == nullptr) return {};
  const int64_t e = i / 2, row = args.offsets[e];
  const LinearLayer layer = layer_of(args, e);
  if (layer.rank == 0) return {};
  const float* const lora_x = args.lora_x == nullptr ? args.x : args.lora_x;
  return i % 2 == 0 ? gradient_of_b(layer, args.dy + row * args.out, args.u + row * args.max_rank, args.grad_b[e],
                                    takes_transposed(context, args.max_rank))
                    : gradient_of_a(layer, args.v + row * args.max_rank, lora_x + row * args.in, args.grad_a[e]);
}

void run_input_gradients(const ln_context& context, const ln_grouped_linear_bwd_args& args) {
  const auto run = [&](const auto& product) { run_backward(context, args, args.experts, product); };
  const auto dy = [&](int64_t e) { return args.dy + args.offsets[e] * args.out; };
  const auto v = [&](int64_t e) { return args.v + args.offsets[e] * args.max_rank; };
  clear_unused(context, args);
  if (args.dx != nullptr) {
    run([&](int64_t e) {
      return input_gradient(layer_of(args, e), dy(e), v(e), args.dlora_x == nullptr, args.accumulate != 0,
                            args.dx + args.offsets[e] * args.in);
    });
  } else if (args.max_rank > 0) {
    run([&](int64_t e) { return expert_low_rank_gradient(args, e); });
  }
  if (args.dlora_x != nullptr) {
    run([&](int64_t e) {
      return adapter_input_gradient(layer_of(args, e), v(e), args.dlora_x + args.offsets[e] * args.in);
    });
  }
}

void run_adapter_gradients(const ln_context& context, const ln_grouped_linear_bwd_args& args) {
  if (args.max_rank == 0 || args.grad_a == nullptr) return;
  run_backward(context, args, 2 * args.experts, [&](int64_t i) { return expert_adapter_gradient(context, args, i); });
}

}  // namespace cpu

namespace backend {

void grouped_linear_fwd(ln_context& context, const ln_grouped_linear_fwd_args& args, const Checker& check) {
  cpu::check_experts(args, check);
  const int64_t bytes = cpu::matmul_scratch_bytes(context, LN_OP_GROUPED_LINEAR_FWD, &args);
  void* const scratch = require_scratch(context, check, bytes);
  const auto run = [&](const auto& product) {
    cpu::run_products(context, scratch, bytes, cpu::ProductList(args.experts, product));
  };
  cpu::clear_unused(context, args);
  if (args.max_rank > 0 && args.lora_x != nullptr) {
    run([&](int64_t e) {
      const int64_t row = args.offsets[e];
      return cpu::down_projection(cpu::layer_of(args, e), args.lora_x + row * args.in, args.u + row * args.max_rank);
    });
  }
  run([&](int64_t e) { return cpu::expert_output(args, e); });
}

void grouped_linear_bwd(ln_context& context, const ln_grouped_linear_bwd_args& args, const Checker& check) {
  cpu::check_experts(args, check);
  require_scratch(context, check, cpu::matmul_scratch_bytes(context, LN_OP_GROUPED_LINEAR_BWD, &args));
  cpu::run_input_gradients(context, args);
  cpu::run_adapter_gradients(context, args);
}

}  // namespace backend
}  // namespace ln
