// ln_joint_linear_bwd: linear layers that share x, with the products of linear.cu where nothing is shared. grad_a of
// all layers is one product of x with the columns of all v.
//
// dx of large ones in bfloat16: dy of all layers side by side, then their v, are one operand; below one another the
// weights, then A, the other. They would be brought into bfloat16 scratch anyway. So dx is one product, by own kernels
// or cuBLAS, and is written once; v and grad_b read the copy of dy. Weights that are in bfloat16 would be read where
// they are by a product per layer: they are copied only if dx, which that reads and writes once more per layer, has
// more bytes. Otherwise, as in float32, a product per layer adds to dx. What is done depends on shapes and types alone.
#include <algorithm>

#include "joint_columns.hpp"
#include "linear_products.hpp"
#include "scratch.hpp"

namespace ln::cuda {

namespace {

constexpr const char* kName = "ln_joint_linear_bwd";

struct Backward {
  JointColumns columns;
  bool together;                     // grad_a of all layers at once
  bool stacked;                      // dx of all layers at once
  int64_t first_k[LN_JOINT_LAYERS];  // stacked: of the layers' dy in `gradients`
  int64_t k;                         // stacked: what dx sums over
  Operand gradients, weights, v;     // stacked: both operands of dx. together: v of all layers
  int64_t v_at;                      // in scratch
  int64_t gradients_bytes, v_bytes, work_bytes;

  int64_t bytes() const { return gradients_bytes + v_bytes + work_bytes; }
};

/// A layer's dy; work: of that layer.
OutputGradient output_gradient_of(const ln_context& context, const Backward& plan, const ln_linear_bwd_args& layer,
                                  int l, bool wants_dx, const void* work) {
  if (!plan.stacked) return output_gradient(context, layer, wants_dx, work);
  const void* const copy = inside(plan.gradients.data, plan.first_k[l] * dtype_bytes(LN_BF16));
  return {by_rows(copy, LN_BF16, layer.rows, layer.out, plan.k), 0};
}

Product gradient_of_all_a(const Backward& plan, const ln_linear_bwd_args& layer) {
  Product p = plain_product(layer.in, plan.columns.total(), layer.rows, nullptr, 0);
  p.column_stride = 0;
  p.left = by_columns(layer.x, LN_F32, layer.rows, layer.in, layer.in);
  p.right = plan.v;
  return p;
}

Product stacked_input_gradient(const Backward& plan, const ln_linear_bwd_args& layer) {
  Product p = plain_product(layer.rows, layer.in, plan.k, layer.dx, layer.in);
  p.left = plan.gradients;
  p.right = plan.weights;
  p.beta = layer.accumulate != 0 ? 1.0f : 0.0f;
  p.dense = true;
  return p;
}

/// The first layer does with dx what is asked for, the next ones add.
Product input_gradient_of(const ln_linear_bwd_args& layer, const Operand& dy, int l) {
  Product p = input_gradient(layer, dy);
  if (l > 0) p.beta = 1;
  return p;
}

/// Of `out` for each layer but the first. What is saved is the same for every column of x, however much there is to sum
/// for it: with more than this, some 4 % of the time, for which scratch would hold all layers in the place of the
/// largest.
constexpr int64_t kMostStacked = 8192;

bool stacks(const ln_context& context, const ln_joint_linear_bwd_args& args, const JointColumns& columns, int64_t k) {
  int64_t copied = 0, out = 0;
  for (int l = 0; l < args.count; ++l) {
    const ln_linear_bwd_args& layer = args.layers[l];
    Product p = input_gradient(layer, output_gradient(context, layer, false, nullptr).rows);
    p.k = k;
    if (!copies_both(context, p)) return false;
    if (p.right.dtype == LN_BF16) copied += layer.out;
    out += layer.out;
  }
  if (out > kMostStacked * (args.count - 1)) return false;
  // Per column of dx: a copied element is read and written in two bytes, an element of dx in four; to add to what an
  // adapter has written is another pass with cuBLAS.
  const bool cublas = context.backend->gemm == LN_GEMM_CUBLAS;
  const int64_t passes = args.count - 1 + (cublas ? columns.adapters : 0);
  return 4 * copied <= 8 * passes * args.layers[0].rows;
}

int64_t weights_bytes(const Backward& plan) { return scratch_place(plan.k * plan.weights.ld * dtype_bytes(LN_BF16)); }

Backward plan_backward(const ln_context& context, const ln_joint_linear_bwd_args& args, bool wants_dx, char* scratch) {
  const ln_linear_bwd_args& any = args.layers[0];
  const int32_t type = copy_type(context);
  Backward plan = {};
  plan.columns = joint_columns(args);
  const int64_t total = plan.columns.total();
  plan.together = plan.columns.adapters > 1 && any.rows > 0 && any.in > 0;
  for (int l = 0; l < plan.columns.layers; ++l) {
    plan.first_k[l] = plan.k;
    plan.k += copy_ld(args.layers[l].out);
  }
  const int64_t k_of_v = plan.k;
  plan.k += total;
  plan.stacked = wants_dx && stacks(context, args, plan.columns, plan.k);
  if (plan.stacked) {
    plan.gradients_bytes = scratch_place(any.rows * plan.k * dtype_bytes(LN_BF16));
    plan.gradients = by_rows(scratch, LN_BF16, any.rows, plan.k, plan.k);
    plan.weights = by_columns(inside(scratch, plan.gradients_bytes), LN_BF16, plan.k, any.in, copy_ld(any.in));
    plan.v_at = k_of_v * dtype_bytes(LN_BF16);
    plan.v = by_columns(inside(scratch, plan.v_at), LN_BF16, any.rows, total, plan.k);
    plan.work_bytes = weights_bytes(plan) + product_scratch(context, stacked_input_gradient(plan, any));
  } else if (plan.together) {
    plan.v_bytes = scratch_place(any.rows * total * dtype_bytes(type));
    plan.v = by_columns(scratch, type, any.rows, total, total);
  }
  const auto needs = [&](const Product& product, int64_t beside = 0) {
    plan.work_bytes = std::max(plan.work_bytes, beside + product_scratch(context, product));
  };
  if (plan.together) needs(gradient_of_all_a(plan, any));
  for (int l = 0; l < plan.columns.layers; ++l) {
    const ln_linear_bwd_args& layer = args.layers[l];
    const OutputGradient dy = output_gradient_of(context, plan, layer, l, wants_dx, nullptr);
    needs(low_rank_gradient(layer, dy.rows), dy.copy_bytes);
    needs(gradient_of_b(layer, dy.rows), dy.copy_bytes);
    if (!plan.together) needs(gradient_of_a(layer));
    if (wants_dx && !plan.stacked) needs(input_gradient_of(layer, dy.rows, l), dy.copy_bytes);
  }
  return plan;
}

bool trains(const ln_linear_bwd_args& layer) { return layer.rank > 0 && layer.grad_a != nullptr; }

/// dy of all layers into their columns of `gradients`.
void copy_gradients(const ln_context& context, const Backward& plan, const ln_joint_linear_bwd_args& args,
                    char* target) {
  Conversion matrices[LN_JOINT_LAYERS] = {};
  for (int l = 0; l < plan.columns.layers; ++l) {
    const ln_linear_bwd_args& layer = args.layers[l];
    matrices[l] = {
        layer.dy,   layer.rows,         layer.out, layer.out, target + plan.first_k[l] * dtype_bytes(LN_BF16),
        layer.rows, copy_ld(layer.out), plan.k};
  }
  convert_matrices(context, kName, matrices, plan.columns.layers, LN_F32, LN_BF16);
}

/// v of all layers into their columns, as the products over all of them take it.
void copy_v(const ln_context& context, const Backward& plan, const ln_joint_linear_bwd_args& args, char* scratch) {
  Conversion matrices[LN_JOINT_LAYERS] = {};
  for (int l = 0; l < plan.columns.layers; ++l) {
    const ln_linear_bwd_args& layer = args.layers[l];
    matrices[l] = {layer.v,
                   layer.rows,
                   layer.rank,
                   layer.rank,
                   scratch + plan.v_at + plan.columns.first[l] * dtype_bytes(plan.v.dtype),
                   layer.rows,
                   copy_ld(layer.rank),
                   plan.v.ld};
  }
  convert_matrices(context, kName, matrices, plan.columns.layers, LN_F32, plan.v.dtype);
}

void add_gradients_of_a(const ln_context& context, const Backward& plan, const ln_joint_linear_bwd_args& args,
                        char* work) {
  const auto end = args.layers + args.count;
  if (!plan.together) {
    for (auto layer = args.layers; layer != end; ++layer) {
      if (trains(*layer)) multiply(context, kName, gradient_of_a(*layer), work);
    }
    return;
  }
  if (std::none_of(args.layers, end, trains)) return;
  JointResult results[LN_JOINT_LAYERS] = {};
  for (int l = 0; l < plan.columns.layers; ++l) {
    const ln_linear_bwd_args& layer = args.layers[l];
    results[l] = {trains(layer) ? layer.grad_a : nullptr, layer.rank, 1, layer.in};
  }
  const Sums sums = multiply_into_sums(context, kName, gradient_of_all_a(plan, args.layers[0]), work);
  write_joint_results(context, kName, sums, args.layers[0].in, plan.columns, results, true, nullptr);
}

/// The weights below one another; those of one type that follow each other in one pass.
void stack_weights(const ln_context& context, const Backward& plan, const ln_joint_linear_bwd_args& args,
                   char* target) {
  const int64_t ld = plan.weights.ld;
  Conversion matrices[LN_JOINT_LAYERS] = {};
  int waiting = 0;
  for (int l = 0; l < plan.columns.layers; ++l) {
    const ln_linear_bwd_args& layer = args.layers[l];
    char* const to = target + plan.first_k[l] * ld * dtype_bytes(LN_BF16);
    matrices[waiting++] = {layer.weight, layer.out, layer.in, layer.in, to, copy_ld(layer.out), ld, ld};
    if (l + 1 < plan.columns.layers && args.layers[l + 1].weight_dtype == layer.weight_dtype) continue;
    convert_matrices(context, kName, matrices, waiting, layer.weight_dtype, LN_BF16);
    waiting = 0;
  }
}

void multiply_stacked(const ln_context& context, const Backward& plan, const ln_joint_linear_bwd_args& args,
                      char* work) {
  stack_weights(context, plan, args, work);
  const int64_t before = (plan.k - plan.columns.total()) * plan.weights.ld * dtype_bytes(LN_BF16);
  stack_a(context, kName, args, plan.columns, work + before, LN_BF16, plan.weights.ld);
  multiply(context, kName, stacked_input_gradient(plan, args.layers[0]), work + weights_bytes(plan));
}

}  // namespace

/// With and without dx: which pointers are NULL is not to be read.
int64_t joint_linear_bwd_scratch(const ln_context& context, const ln_joint_linear_bwd_args& args) {
  if (!is_count_of_layers(args)) return 0;
  return std::max(plan_backward(context, args, true, nullptr).bytes(),
                  plan_backward(context, args, false, nullptr).bytes());
}

}  // namespace ln::cuda

namespace ln::backend {

void joint_linear_bwd(ln_context& context, const ln_joint_linear_bwd_args& args, const Checker& check) {
  using namespace cuda;
  char* const scratch = static_cast<char*>(require_scratch(context, check, joint_linear_bwd_scratch(context, args)));
  const bool wants_dx = args.layers[0].dx != nullptr;
  const Backward plan = plan_backward(context, args, wants_dx, scratch);
  char* const work = scratch + plan.gradients_bytes + plan.v_bytes;
  if (plan.stacked) copy_gradients(context, plan, args, scratch);
  for (int l = 0; l < plan.columns.layers; ++l) {
    const ln_linear_bwd_args& layer = args.layers[l];
    const OutputGradient dy = output_gradient_of(context, plan, layer, l, wants_dx, work);
    copy_output_gradient(context, kName, layer, dy, work);
    const auto run = [&](const Product& product) { multiply(context, kName, product, work + dy.copy_bytes); };
    if (layer.rank > 0) run(low_rank_gradient(layer, dy.rows));
    if (trains(layer)) run(gradient_of_b(layer, dy.rows));
    if (wants_dx && !plan.stacked) run(input_gradient_of(layer, dy.rows, l));
  }
  if (plan.together || plan.stacked) copy_v(context, plan, args, scratch);
  add_gradients_of_a(context, plan, args, work);
  if (plan.stacked) multiply_stacked(context, plan, args, work);
}

}  // namespace ln::backend
