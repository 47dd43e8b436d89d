#include "backend.hpp"

namespace {

template <typename Args>
void check_sizes(const Args& args, const ln::Checker& check) {
  check.at_least("rows", args.rows, 0);
  check.at_most("rows", args.rows, INT32_MAX);  // offsets are int32
  check.at_least("in", args.in, 1);
  check.at_least("out", args.out, 1);
  check.at_least("experts", args.experts, 1);
  check.at_least("max_rank", args.max_rank, 0);
  check.at_most("max_rank", args.max_rank, INT32_MAX);
  check.weight_dtype("weight_dtype", args.weight_dtype);
}

/// The tables that both passes read; their entries are the backend's to check, as they lie in its memory.
template <typename Args>
void check_tables(const Args& args, const ln::Checker& check) {
  check.pointer("offsets", args.offsets);
  if (args.max_rank == 0) return;
  check.optional("lora_x", args.lora_x);
  check.pointer("lora_a", args.lora_a, alignof(void*));
  check.pointer("lora_b", args.lora_b, alignof(void*));
  check.pointer("ranks", args.ranks);
  check.pointer("scales", args.scales);
}

}  // namespace

int32_t ln_grouped_linear_fwd(ln_context* context, const ln_grouped_linear_fwd_args* args) {
  return ln::guarded(context, "ln_grouped_linear_fwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check_sizes(*args, check);
    if (args->rows == 0) return;
    check.pointer("x", args->x);
    check_tables(*args, check);
    check.pointer("weights", args->weights, alignof(void*));
    if (args->max_rank > 0) check.pointer("u", args->u);
    check.pointer("y", args->y);
    ln::backend::grouped_linear_fwd(*context, *args, check);
  });
}

int32_t ln_grouped_linear_bwd(ln_context* context, const ln_grouped_linear_bwd_args* args) {
  return ln::guarded(context, "ln_grouped_linear_bwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check_sizes(*args, check);
    check.flag("accumulate", args->accumulate);
    if (args->dx == nullptr && args->dlora_x != nullptr)
      check.fail(LN_INVALID_ARGUMENT, "dlora_x is given, dx is NULL");
    if ((args->grad_a == nullptr) != (args->grad_b == nullptr)) {
      check.fail(LN_INVALID_ARGUMENT, "grad_a and grad_b must both be given or both be NULL");
    }
    if (args->rows == 0) return;
    check.pointer("dy", args->dy);
    check_tables(*args, check);
    if (args->dx != nullptr) check.pointer("weights", args->weights, alignof(void*));
    if (args->max_rank > 0) {
      check.pointer("v", args->v);
      if (args->grad_a != nullptr) {
        check.pointer("u", args->u);
        if (args->lora_x == nullptr) check.pointer("x", args->x);
        check.pointer("grad_a", args->grad_a, alignof(void*));
        check.pointer("grad_b", args->grad_b, alignof(void*));
      }
    }
    check.optional("dx", args->dx);
    check.optional("dlora_x", args->dlora_x);
    ln::backend::grouped_linear_bwd(*context, *args, check);
  });
}
