#include "linear_checks.hpp"

namespace ln {

namespace {

template <typename Args>
void check_sizes(const Args& args, const Checker& check) {
  check.at_least("rows", args.rows, 0);
  check.at_least("in", args.in, 1);
  check.at_least("out", args.out, 1);
  check.at_least("rank", args.rank, 0);
  check.weight_dtype("weight_dtype", args.weight_dtype);
}

/// What both passes read of the adapter.
template <typename Args>
void check_adapter(const Args& args, const Checker& check) {
  check.optional("lora_x", args.lora_x);
  check.pointer("lora_a", args.lora_a);
  check.pointer("lora_b", args.lora_b);
}

}  // namespace

bool check_linear(const ln_linear_fwd_args& args, const Checker& check) {
  check_sizes(args, check);
  if (args.bias != nullptr) check.dtype("bias_dtype", args.bias_dtype);
  if (args.rows == 0) return false;
  check.pointer("x", args.x);
  check.pointer("weight", args.weight, weight_alignment(args.weight_dtype));
  if (args.bias != nullptr) check.pointer("bias", args.bias, dtype_bytes(args.bias_dtype));
  if (args.rank > 0) {
    check_adapter(args, check);
    check.pointer("u", args.u);
  }
  check.pointer("y", args.y);
  return true;
}

bool check_linear(const ln_linear_bwd_args& args, const Checker& check) {
  check_sizes(args, check);
  check.flag("accumulate", args.accumulate);
  if (args.dx == nullptr && args.dlora_x != nullptr) check.fail(LN_INVALID_ARGUMENT, "dlora_x is given, dx is NULL");
  if ((args.grad_a == nullptr) != (args.grad_b == nullptr)) {
    check.fail(LN_INVALID_ARGUMENT, "grad_a and grad_b must both be given or both be NULL");
  }
  if (args.rows == 0) return false;
  check.pointer("dy", args.dy);
  if (args.dx != nullptr) check.pointer("weight", args.weight, weight_alignment(args.weight_dtype));
  if (args.rank > 0) {
    check_adapter(args, check);
    check.pointer("v", args.v);
    if (args.grad_a != nullptr) {
      check.pointer("u", args.u);
      if (args.lora_x == nullptr) check.pointer("x", args.x);
      check.pointer("grad_a", args.grad_a);
      check.pointer("grad_b", args.grad_b);
    }
  }
  check.optional("dx", args.dx);
  check.optional("dlora_x", args.dlora_x);
  return true;
}

}  // namespace ln

int32_t ln_linear_fwd(ln_context* context, const ln_linear_fwd_args* args) {
  return ln::guarded(context, "ln_linear_fwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    if (ln::check_linear(*args, check)) ln::backend::linear_fwd(*context, *args, check);
  });
}

int32_t ln_linear_bwd(ln_context* context, const ln_linear_bwd_args* args) {
  return ln::guarded(context, "ln_linear_bwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    if (ln::check_linear(*args, check)) ln::backend::linear_bwd(*context, *args, check);
  });
}
