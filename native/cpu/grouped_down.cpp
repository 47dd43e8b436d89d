// ln_grouped_down_bwd: the tokens' gradients are gathered into rows behind the products' scratch, one product gives the
// gradient of inner, and what is made of a row of it is made while the row is in the cache (activation_simd.cpp). The
// adapters' gradients come last, of rows that have their scores then.
#include <algorithm>
#include <cstring>

#include "../abi/grouped_sides.hpp"
#include "activation.hpp"
#include "cpu_backend.hpp"
#include "grouped_layers.hpp"
#include "index_check.hpp"
#include "scratch.hpp"

namespace ln {

namespace cpu {

namespace {

int64_t product_bytes(const ln_context& context, const ln_grouped_down_bwd_args& args) {
  const ln_grouped_linear_bwd_args side = down_side(args, nullptr, nullptr);
  return aligned(matmul_scratch_bytes(context, LN_OP_GROUPED_LINEAR_BWD, &side));
}

int64_t gathered_bytes(const ln_grouped_down_bwd_args& args) {
  return aligned(args.tokens * args.top_k * args.out * int64_t{sizeof(float)});
}

/// The tokens' gradients as rows.
void gather(ln_context& context, const ln_grouped_down_bwd_args& args, float* dy_rows) {
  pool(context).ranges(args.tokens, rows_per_task(args.out * args.top_k), [&](int64_t first, int64_t last, int) {
    for (int64_t pair = first * args.top_k; pair < last * args.top_k; ++pair) {
      const int64_t row = args.rows_of_pairs[pair];
      std::memcpy(dy_rows + row * args.out, args.dy + pair / args.top_k * args.out,
                  static_cast<size_t>(args.out) * sizeof(float));
    }
  });
}

/// What is made of the rows of `gradient`, that of inner, and of u where adapters read it.
void score(ln_context& context, const ln_grouped_down_bwd_args& args, const float* gradient) {
  const ActivationKernels& kernels = activation_kernels(tier(context));
  const int64_t of_u = args.max_rank > 0 && args.grad_b != nullptr ? args.max_rank : 0;
  pool(context).ranges(args.tokens * args.top_k, rows_per_task(args.in), [&](int64_t first, int64_t last, int) {
    for (int64_t pair = first; pair < last; ++pair) {
      const int64_t row = args.rows_of_pairs[pair], at = row * args.in;
      const float score = args.scores[pair];
      args.dscores[pair] = kernels.scored_bwd(args.activation, score, gradient + at, args.gate + at, args.up + at,
                                              args.inner == nullptr ? nullptr : args.inner + at, args.in);
      for (int64_t i = 0; i < of_u; ++i) args.u[row * of_u + i] *= score;
    }
  });
}

}  // namespace

int64_t grouped_down_scratch_bytes(const ln_context& context, int32_t, const void* op_args) {
  const auto& args = *static_cast<const ln_grouped_down_bwd_args*>(op_args);
  const int64_t inner_elements = args.inner == nullptr ? args.tokens * args.top_k * args.in : 0;
  return product_bytes(context, args) + gathered_bytes(args) + inner_elements * int64_t{sizeof(float)};
}

}  // namespace cpu

namespace backend {

void grouped_down_bwd(ln_context& context, const ln_grouped_down_bwd_args& args, const Checker& check) {
  const int64_t rows = args.tokens * args.top_k;
  cpu::require_indices_below(check, "rows_of_pairs", args.rows_of_pairs, rows, rows);
  char* const scratch = static_cast<char*>(
      require_scratch(context, check, cpu::grouped_down_scratch_bytes(context, LN_OP_GROUPED_DOWN_BWD, &args)));
  char* const behind = scratch + cpu::product_bytes(context, args);
  float* const dy_rows = reinterpret_cast<float*>(behind);
  float* const gradient =
      args.inner != nullptr ? args.inner : reinterpret_cast<float*>(behind + cpu::gathered_bytes(args));
  const ln_grouped_linear_bwd_args side = down_side(args, dy_rows, gradient);
  cpu::check_experts(side, check);
  cpu::gather(context, args, dy_rows);
  cpu::run_input_gradients(context, side);
  cpu::score(context, args, gradient);
  cpu::run_adapter_gradients(context, side);
}

}  // namespace backend
}  // namespace ln
