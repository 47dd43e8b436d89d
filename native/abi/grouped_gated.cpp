#include "grouped_checks.hpp"
#include "grouped_sides.hpp"

namespace {

using ln::Checker;

template <typename Args>
void check_sizes(const Args& args, const Checker& check) {
  ln::check_grouped_sizes(args, check);
  ln::check_max_rank("gate_max_rank", args.gate_max_rank, check);
  ln::check_max_rank("up_max_rank", args.up_max_rank, check);
  check.activation("activation", args.activation);
}

void check_side(const ln_grouped_linear_fwd_args& side, const Checker& check) {
  check.pointer("weights", side.weights, alignof(void*));
  if (side.max_rank == 0) return;
  ln::check_adapter_tables(side, check);
  check.pointer("u", side.u);
}

void check_side(const ln_grouped_linear_bwd_args& side, const Checker& check) {
  if (side.dx != nullptr) check.pointer("weights", side.weights, alignof(void*));
  if (side.max_rank == 0) return;
  ln::check_adapter_tables(side, check);
  check.pointer("v", side.v);
  if (side.grad_a == nullptr) return;
  check.pointer("u", side.u);
  check.pointer("x", side.x);
  ln::check_gradient_tables(side, check);
}

}  // namespace

int32_t ln_grouped_gated_fwd(ln_context* context, const ln_grouped_gated_fwd_args* args) {
  return ln::guarded(context, ln::kGatedForward, [&](const Checker& check) {
    check.pointer("args", args, 8);
    check_sizes(*args, check);
    if ((args->gate == nullptr) != (args->up == nullptr)) {
      check.fail(LN_INVALID_ARGUMENT, "gate and up must both be given or both be NULL");
    }
    if (args->rows == 0) return;
    check.pointer("x", args->x);
    check.pointer("offsets", args->offsets);
    check_side(ln::gate_side(*args, args->gate), check.of("gate"));
    check_side(ln::up_side(*args, args->up), check.of("up"));
    check.optional("gate", args->gate);
    check.optional("up", args->up);
    check.pointer("y", args->y);
    ln::backend::grouped_gated_fwd(*context, *args, check);
  });
}

int32_t ln_grouped_gated_bwd(ln_context* context, const ln_grouped_gated_bwd_args* args) {
  return ln::guarded(context, ln::kGatedBackward, [&](const Checker& check) {
    check.pointer("args", args, 8);
    check_sizes(*args, check);
    const ln_grouped_linear_bwd_args gate = ln::gate_side(*args), up = ln::up_side(*args);
    ln::check_both_gradients(gate, check.of("gate"));
    ln::check_both_gradients(up, check.of("up"));
    if (args->rows == 0) return;
    check.optional("dy", args->dy);
    check.pointer("offsets", args->offsets);
    check_side(gate, check.of("gate"));
    check_side(up, check.of("up"));
    check.pointer("gate", args->gate);
    check.pointer("up", args->up);
    check.optional("dx", args->dx);
    ln::backend::grouped_gated_bwd(*context, *args, check);
  });
}
