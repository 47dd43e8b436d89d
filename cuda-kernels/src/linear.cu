// ln_linear: products (products.cu) in the order of their dependence. The adapter's up-projection is an extra k-block
// of the base product, so y and dx are written once. Where dx wants dy in bfloat16, v and grad_b read that copy too.
// Gradients of the adapter sum over rows, in slices whose number depends on the shape alone.
//
// Thin products have `rank` columns: u = lora_x . A^T, v = s dy . B, grad_b = s dy^T . u, and grad_a transposed,
// lora_x^T . v, so that `rank` is the narrow side of the tile each time.
#include <algorithm>
#include <initializer_list>

#include "linear_products.hpp"
#include "scratch.hpp"

namespace ln::cuda {

Product plain_product(int64_t m, int64_t n, int64_t k, float* c, int64_t ldc) {
  Product p = {};
  p.m = m;
  p.n = n;
  p.k = k;
  p.alpha = 1;
  p.c = c;
  p.row_stride = ldc;
  p.column_stride = 1;
  return p;
}

Product down_projection(const ln_linear_fwd_args& args) {
  Product p = plain_product(args.rows, args.rank, args.in, args.u, args.rank);
  p.left = by_rows(args.lora_x != nullptr ? args.lora_x : args.x, LN_F32, args.rows, args.in, args.in);
  p.right = by_rows(args.lora_a, LN_F32, args.rank, args.in, args.in);
  return p;
}

Product layer_output(const ln_linear_fwd_args& args) {
  Product p = plain_product(args.rows, args.out, args.in, args.y, args.out);
  p.left = by_rows(args.x, LN_F32, args.rows, args.in, args.in);
  p.right = by_rows(args.weight, args.weight_dtype, args.out, args.in, args.in);
  p.bias = args.bias;
  p.bias_dtype = args.bias_dtype;
  p.dense = true;
  p.extra_left = by_rows(args.u, LN_F32, args.rows, args.rank, args.rank);
  p.extra_right = by_rows(args.lora_b, LN_F32, args.out, args.rank, args.rank);
  p.extra_k = args.rank;
  p.extra_scale = args.lora_scale;
  return p;
}

OutputGradient output_gradient(const ln_context& context, const ln_linear_bwd_args& args, bool wants_dx,
                               const void* scratch) {
  const Operand rows = by_rows(args.dy, LN_F32, args.rows, args.out, args.out);
  if (!wants_dx || !copies_left(context, input_gradient(args, rows))) return {rows, 0};
  const int64_t ld = copy_ld(args.out);
  return {by_rows(scratch, LN_BF16, args.rows, args.out, ld), scratch_place(args.rows * ld * dtype_bytes(LN_BF16))};
}

void copy_output_gradient(const ln_context& context, const char* name, const ln_linear_bwd_args& args,
                          const OutputGradient& dy, void* scratch) {
  if (dy.copy_bytes == 0) return;
  const int64_t ld = dy.rows.ld;
  const Conversion conversion = {args.dy, args.rows, args.out, args.out, scratch, args.rows, ld, ld};
  convert_matrices(context, name, &conversion, 1, LN_F32, LN_BF16);
}

Product low_rank_gradient(const ln_linear_bwd_args& args, const Operand& dy) {
  Product p = plain_product(args.rows, args.rank, args.out, args.v, args.rank);
  p.left = dy;
  p.right = by_columns(args.lora_b, LN_F32, args.out, args.rank, args.rank);
  p.alpha = args.lora_scale;
  return p;
}

Product gradient_of_b(const ln_linear_bwd_args& args, const Operand& dy) {
  Product p = plain_product(args.out, args.rank, args.rows, args.grad_b, args.rank);
  p.left = by_columns(dy.data, dy.dtype, args.rows, args.out, dy.ld);
  p.right = by_columns(args.u, LN_F32, args.rows, args.rank, args.rank);
  p.alpha = args.lora_scale;
  p.beta = 1;
  return p;
}

Product gradient_of_a(const ln_linear_bwd_args& args) {
  Product p = plain_product(args.in, args.rank, args.rows, args.grad_a, 1);
  p.column_stride = args.in;
  p.left = by_columns(args.lora_x != nullptr ? args.lora_x : args.x, LN_F32, args.rows, args.in, args.in);
  p.right = by_columns(args.v, LN_F32, args.rows, args.rank, args.rank);
  p.beta = 1;
  return p;
}

Product input_gradient(const ln_linear_bwd_args& args, const Operand& dy) {
  Product p = plain_product(args.rows, args.in, args.out, args.dx, args.in);
  p.left = dy;
  p.right = by_columns(args.weight, args.weight_dtype, args.out, args.in, args.in);
  p.beta = args.accumulate != 0 ? 1.0f : 0.0f;
  p.dense = true;
  if (args.dlora_x == nullptr) {
    p.extra_left = by_rows(args.v, LN_F32, args.rows, args.rank, args.rank);
    p.extra_right = by_columns(args.lora_a, LN_F32, args.rank, args.in, args.in);
    p.extra_k = args.rank;
    p.extra_scale = 1;
  }
  return p;
}

Product adapter_input_gradient(const ln_linear_bwd_args& args) {
  Product p = plain_product(args.rows, args.in, args.rank, args.dlora_x, args.in);
  p.left = by_rows(args.v, LN_F32, args.rows, args.rank, args.rank);
  p.right = by_columns(args.lora_a, LN_F32, args.rank, args.in, args.in);
  return p;
}

namespace {

int64_t most_scratch(const ln_context& context, std::initializer_list<Product> products) {
  int64_t most = 0;
  for (const Product& product : products) most = std::max(most, product_scratch(context, product));
  return most;
}

}  // namespace

int64_t linear_fwd_scratch(const ln_context& context, const ln_linear_fwd_args& args) {
  return most_scratch(context, {down_projection(args), layer_output(args)});
}

/// As if everything were wanted in the way that needs most: which pointers are NULL is not to be read.
int64_t linear_bwd_scratch(const ln_context& context, const ln_linear_bwd_args& args_in) {
  ln_linear_bwd_args args = args_in;
  args.dlora_x = nullptr;
  int64_t most = 0;
  for (const bool wants_dx : {false, true}) {
    const OutputGradient dy = output_gradient(context, args, wants_dx, nullptr);
    most = std::max(
        most, dy.copy_bytes + most_scratch(context, {low_rank_gradient(args, dy.rows), gradient_of_b(args, dy.rows),
                                                     gradient_of_a(args), adapter_input_gradient(args)}));
    if (wants_dx) most = std::max(most, dy.copy_bytes + product_scratch(context, input_gradient(args, dy.rows)));
  }
  return most;
}

}  // namespace ln::cuda

namespace ln::backend {

void linear_fwd(ln_context& context, const ln_linear_fwd_args& args, const Checker& check) {
  void* const scratch = require_scratch(context, check, cuda::linear_fwd_scratch(context, args));
  const auto run = [&](const cuda::Product& product) { cuda::multiply(context, "ln_linear_fwd", product, scratch); };
  if (args.rank > 0) run(cuda::down_projection(args));
  run(cuda::layer_output(args));
}

void linear_bwd(ln_context& context, const ln_linear_bwd_args& args, const Checker& check) {
  char* const scratch = static_cast<char*>(require_scratch(context, check, cuda::linear_bwd_scratch(context, args)));
  const cuda::OutputGradient dy = cuda::output_gradient(context, args, args.dx != nullptr, scratch);
  cuda::copy_output_gradient(context, "ln_linear_bwd", args, dy, scratch);
  const auto run = [&](const cuda::Product& product) {
    cuda::multiply(context, "ln_linear_bwd", product, scratch + dy.copy_bytes);
  };
  if (args.rank > 0) {
    run(cuda::low_rank_gradient(args, dy.rows));
    if (args.grad_a != nullptr) {
      run(cuda::gradient_of_b(args, dy.rows));
      run(cuda::gradient_of_a(args));
    }
  }
  if (args.dx != nullptr) run(cuda::input_gradient(args, dy.rows));
  if (args.dlora_x != nullptr) run(cuda::adapter_input_gradient(args));
}

}  // namespace ln::backend
