// ln_matmul: one product (products.cu), on whichever way its shape and types lead to.
#include "products.hpp"
#include "scratch.hpp"

namespace ln::cuda {

namespace {

Product product_of(const ln_matmul_args& args) {
  Product p = {};
  p.left = args.transpose_a ? by_columns(args.a, args.a_dtype, args.k, args.m, args.lda)
                            : by_rows(args.a, args.a_dtype, args.m, args.k, args.lda);
  p.right = args.transpose_b ? by_rows(args.b, args.b_dtype, args.n, args.k, args.ldb)
                             : by_columns(args.b, args.b_dtype, args.k, args.n, args.ldb);
  p.m = args.m;
  p.n = args.n;
  p.k = args.k;
  p.alpha = args.alpha;
  p.bias = args.bias;
  p.bias_dtype = args.bias_dtype;
  p.beta = args.beta;
  p.c = args.c;
  p.row_stride = args.ldc;
  p.column_stride = 1;
  p.dense = true;
  return p;
}

}  // namespace

int64_t matmul_scratch(const ln_context& context, const ln_matmul_args& args) {
  return product_scratch(context, product_of(args));
}

}  // namespace ln::cuda

namespace ln::backend {

void matmul(ln_context& context, const ln_matmul_args& args, const Checker& check) {
  const cuda::Product product = cuda::product_of(args);
  cuda::multiply(context, "ln_matmul", product, require_scratch(context, check, product_scratch(context, product)));
}

}  // namespace ln::backend
