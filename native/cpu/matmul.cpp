#include "matmul.hpp"

#include <algorithm>

#include "products.hpp"
#include "quantized_check.hpp"
#include "scratch.hpp"

namespace ln {

namespace cpu {

namespace {

template <typename Args>
double linear_floats(const ln_context& context, const Args& args, int64_t pieces, int64_t rank, bool backward) {
  double floats = std::max(packed_floats(context, args.rows, pieces, args.in + rank),
                           packed_floats(context, args.rows, pieces, args.out + rank));
  if (backward) {
    floats = std::max(floats, packed_floats(context, args.out, 1, args.rows));
    floats = std::max(floats, packed_floats(context, rank, 1, args.rows));
  }
  return floats;
}

double needed_floats(const ln_context& context, int32_t op, const void* args) {
  switch (op) {
    case LN_OP_MATMUL: {
      const auto& matmul = *static_cast<const ln_matmul_args*>(args);
      return packed_floats(context, matmul.m, 1, matmul.k);
    }
    case LN_OP_LINEAR_FWD: {
      const auto& linear = *static_cast<const ln_linear_fwd_args*>(args);
      return linear_floats(context, linear, 1, linear.rank, false);
    }
    case LN_OP_LINEAR_BWD: {
      const auto& linear = *static_cast<const ln_linear_bwd_args*>(args);
      return linear_floats(context, linear, 1, linear.rank, true);
    }
    case LN_OP_GROUPED_LINEAR_FWD: {
      const auto& grouped = *static_cast<const ln_grouped_linear_fwd_args*>(args);
      return linear_floats(context, grouped, grouped.experts, grouped.max_rank, false);
    }
    default: {
      const auto& grouped = *static_cast<const ln_grouped_linear_bwd_args*>(args);
      return linear_floats(context, grouped, grouped.experts, grouped.max_rank, true);
    }
  }
}

}  // namespace

int64_t matmul_scratch_bytes(const ln_context& context, int32_t op, const void* args) {
  return product_scratch_bytes(context, needed_floats(context, op, args));
}

}  // namespace cpu

namespace backend {

void matmul(ln_context& context, const ln_matmul_args& args, const Checker& check) {
  if (args.k > 0) cpu::require_quantized(check, "b", args.b, args.b_dtype, args.k * args.n);
  const int64_t bytes = cpu::matmul_scratch_bytes(context, LN_OP_MATMUL, &args);
  void* const scratch = require_scratch(context, check, bytes);
  const auto product = [&](int64_t) {
    cpu::Product result{};
    result.terms[0] = {{args.a, args.lda, args.a_dtype, args.transpose_a},
                       {args.b, args.ldb, args.b_dtype, args.transpose_b},
                       args.k,
                       args.alpha};
    result.term_count = 1;
    result.bias = args.bias;
    result.bias_dtype = args.bias_dtype;
    result.c = args.c;
    result.ldc = args.ldc;
    result.m = args.m;
    result.n = args.n;
    result.beta = args.beta;
    return result;
  };
  cpu::run_products(context, scratch, bytes, cpu::ProductList(1, product));
}

}  // namespace backend
}  // namespace ln
