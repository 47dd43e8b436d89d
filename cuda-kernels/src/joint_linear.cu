// ln_joint_linear_fwd: linear layers that share x, with the products of linear.cu where nothing is shared. Where
// products want x in bfloat16 it is copied once for all. u of all layers is one product with the rows of all A, whose
// result is taken apart (joint_columns.cu) and, beside the copy of x, also left as the bfloat16 operand of the layers'
// extra k-blocks, whose other operands, B, are brought into bfloat16 at once. Few rows go the way of ln_linear. What is
// done depends on shapes and types alone.
#include <algorithm>

#include "joint_columns.hpp"
#include "linear_products.hpp"
#include "scratch.hpp"

namespace ln::cuda {

namespace {

constexpr const char* kName = "ln_joint_linear_fwd";

struct Forward {
  JointColumns columns;
  bool together;    // u of all layers at once
  bool copies;      // of x
  Operand x, a, u;  // as the products read them; a and u: of all adapters
  Product outputs[LN_JOINT_LAYERS];
  int64_t x_bytes, a_bytes, u_bytes, b_bytes, work_bytes;  // of scratch, in this order
  int64_t b_at[LN_JOINT_LAYERS];                           // from where B begins, with copies

  int64_t u_at() const { return x_bytes + a_bytes; }
  int64_t work_at() const { return x_bytes + a_bytes + u_bytes + b_bytes; }
  int64_t bytes() const { return work_at() + work_bytes; }
};

Product down_projection_of(const Forward& plan, const ln_linear_fwd_args& layer) {
  Product p = down_projection(layer);
  p.left = plan.x;
  return p;
}

Product down_projection_of_all(const Forward& plan, const ln_linear_fwd_args& layer) {
  Product p = plain_product(layer.rows, plan.columns.total(), layer.in, nullptr, 0);
  p.column_stride = 0;
  p.left = plan.x;
  p.right = plan.a;
  return p;
}

/// Where everything is in `scratch`, of which only the size is wanted by the one who asks for it.
Forward plan_forward(const ln_context& context, const ln_joint_linear_fwd_args& args, char* scratch) {
  const ln_linear_fwd_args& any = args.layers[0];
  const int32_t type = copy_type(context);
  const int64_t ld = copy_ld(any.in);
  Forward plan = {};
  plan.columns = joint_columns(args);
  plan.together = plan.columns.adapters > 1 && any.rows > kFewRows && any.in > 0;
  for (int l = 0; l < plan.columns.layers; ++l) {
    plan.outputs[l] = layer_output(args.layers[l]);
    plan.copies = plan.copies || copies_left(context, plan.outputs[l]);
  }
  plan.x = by_rows(any.x, LN_F32, any.rows, any.in, any.in);
  if (plan.copies) {
    plan.x = by_rows(scratch, LN_BF16, any.rows, any.in, ld);
    plan.x_bytes = scratch_place(any.rows * ld * dtype_bytes(LN_BF16));
  }
  if (plan.together) {
    const int64_t total = plan.columns.total();
    plan.a = by_rows(inside(scratch, plan.x_bytes), type, total, any.in, ld);
    plan.a_bytes = scratch_place(total * ld * dtype_bytes(type));
    plan.work_bytes = product_scratch(context, down_projection_of_all(plan, any));
    if (plan.copies) {
      plan.u = by_rows(inside(scratch, plan.u_at()), LN_BF16, any.rows, total, total);
      plan.u_bytes = scratch_place(any.rows * total * dtype_bytes(LN_BF16));
    }
  }
  for (int l = 0; l < plan.columns.layers; ++l) {
    const ln_linear_fwd_args& layer = args.layers[l];
    Product& output = plan.outputs[l];
    output.left = plan.x;
    if (plan.u_bytes > 0) {
      output.extra_left = plan.u;
      output.extra_left.data = inside(plan.u.data, plan.columns.first[l] * dtype_bytes(LN_BF16));
    }
    if (plan.copies) {
      plan.b_at[l] = plan.b_bytes;
      output.extra_right = by_rows(inside(scratch, plan.u_at() + plan.u_bytes + plan.b_bytes), LN_BF16, layer.out,
                                   layer.rank, copy_ld(layer.rank));
      plan.b_bytes += scratch_place(layer.out * copy_ld(layer.rank) * dtype_bytes(LN_BF16));
    }
    plan.work_bytes = std::max(plan.work_bytes, product_scratch(context, output));
    if (!plan.together) {
      plan.work_bytes = std::max(plan.work_bytes, product_scratch(context, down_projection_of(plan, layer)));
    }
  }
  return plan;
}

/// x, and B of all layers.
void copy_operands(const ln_context& context, const Forward& plan, const ln_joint_linear_fwd_args& args,
                   char* scratch) {
  const ln_linear_fwd_args& any = args.layers[0];
  const Conversion x = {any.x, any.rows, any.in, any.in, scratch, any.rows, plan.x.ld, plan.x.ld};
  convert_matrices(context, kName, &x, 1, LN_F32, LN_BF16);
  Conversion matrices[LN_JOINT_LAYERS] = {};
  for (int l = 0; l < plan.columns.layers; ++l) {
    const ln_linear_fwd_args& layer = args.layers[l];
    const int64_t ld = copy_ld(layer.rank);
    char* const to = scratch + plan.u_at() + plan.u_bytes + plan.b_at[l];
    matrices[l] = {layer.lora_b, layer.out, layer.rank, layer.rank, to, layer.out, ld, ld};
  }
  convert_matrices(context, kName, matrices, plan.columns.layers, LN_F32, LN_BF16);
}

void project_down(const ln_context& context, const Forward& plan, const ln_joint_linear_fwd_args& args, char* scratch) {
  const ln_linear_fwd_args& any = args.layers[0];
  char* const work = scratch + plan.work_at();
  if (!plan.together) {
    for (int l = 0; l < plan.columns.layers; ++l) {
      const ln_linear_fwd_args& layer = args.layers[l];
      if (layer.rank > 0) multiply(context, kName, down_projection_of(plan, layer), work);
    }
    return;
  }
  stack_a(context, kName, args, plan.columns, scratch + plan.x_bytes, plan.a.dtype, plan.a.ld);
  const Sums sums = multiply_into_sums(context, kName, down_projection_of_all(plan, any), work);
  JointResult results[LN_JOINT_LAYERS] = {};
  for (int l = 0; l < plan.columns.layers; ++l) {
    const ln_linear_fwd_args& layer = args.layers[l];
    results[l] = {layer.rank > 0 ? layer.u : nullptr, layer.rank, layer.rank, 1};
  }
  write_joint_results(context, kName, sums, any.rows, plan.columns, results, false,
                      plan.u_bytes > 0 ? scratch + plan.u_at() : nullptr);
}

}  // namespace

int64_t joint_linear_fwd_scratch(const ln_context& context, const ln_joint_linear_fwd_args& args) {
  return is_count_of_layers(args) ? plan_forward(context, args, nullptr).bytes() : 0;
}

}  // namespace ln::cuda

namespace ln::backend {

void joint_linear_fwd(ln_context& context, const ln_joint_linear_fwd_args& args, const Checker& check) {
  using namespace cuda;
  char* const scratch = static_cast<char*>(require_scratch(context, check, joint_linear_fwd_scratch(context, args)));
  const Forward plan = plan_forward(context, args, scratch);
  if (plan.copies) copy_operands(context, plan, args, scratch);
  project_down(context, plan, args, scratch);
  for (int l = 0; l < plan.columns.layers; ++l) {
    multiply(context, kName, plan.outputs[l], scratch + plan.work_at());
  }
}

}  // namespace ln::backend
