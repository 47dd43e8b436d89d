#include "grouped_checks.hpp"
#include "grouped_sides.hpp"
#include "pair_checks.hpp"

int32_t ln_grouped_down_bwd(ln_context* context, const ln_grouped_down_bwd_args* args) {
  return ln::guarded(context, ln::kDownBackward, [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    ln::check_pairs(check, args->tokens, args->top_k);
    ln::check_grouped_sizes(ln::down_side(*args, nullptr, nullptr), check);
    ln::check_max_rank("max_rank", args->max_rank, check);
    check.activation("activation", args->activation);
    ln::check_both_gradients(*args, check);
    if (args->tokens == 0) return;
    check.pointer("dy", args->dy);
    check.pointer("rows_of_pairs", args->rows_of_pairs);
    check.pointer("scores", args->scores);
    check.pointer("dscores", args->dscores);
    check.pointer("offsets", args->offsets);
    check.pointer("weights", args->weights, alignof(void*));
    check.pointer("gate", args->gate);
    check.pointer("up", args->up);
    check.optional("inner", args->inner);
    if (args->max_rank > 0) {
      ln::check_adapter_tables(*args, check);
      check.pointer("v", args->v);
      if (args->grad_a != nullptr) {
        check.pointer("u", args->u);
        check.pointer("inner", args->inner);
        ln::check_gradient_tables(*args, check);
      }
    }
    ln::backend::grouped_down_bwd(*context, *args, check);
  });
}
