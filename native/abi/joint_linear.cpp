#include "joint_layers.hpp"
#include "linear_checks.hpp"

namespace {

using ln::Checker;

void check_same_size(const char* name, int64_t value, int64_t first, const Checker& check) {
  if (value == first) return;
  check.fail(LN_INVALID_ARGUMENT, std::string(name) + " is " + std::to_string(value) + ", must be " +
                                      std::to_string(first) + " as in layers[0]");
}

void check_same(const char* name, const float* value, const float* first, const Checker& check) {
  if (value != first) check.fail(LN_INVALID_ARGUMENT, std::string(name) + " is not that of layers[0]");
}

void check_null(const char* name, const float* value, const Checker& check) {
  if (value != nullptr) check.fail(LN_INVALID_ARGUMENT, std::string(name) + " is given, must be NULL");
}

/// What all layers have in common.
template <typename Layer>
void check_shared(const Layer& layer, const Layer& first, const Checker& check) {
  check_same_size("rows", layer.rows, first.rows, check);
  check_same_size("in", layer.in, first.in, check);
  check_same("x", layer.x, first.x, check);
  check_null("lora_x", layer.lora_x, check);
}

void check_kind(const ln_linear_fwd_args& layer, const ln_linear_fwd_args& first, const Checker& check) {
  check_shared(layer, first, check);
}

void check_kind(const ln_linear_bwd_args& layer, const ln_linear_bwd_args& first, const Checker& check) {
  check_shared(layer, first, check);
  check_same("dx", layer.dx, first.dx, check);
  check_null("dlora_x", layer.dlora_x, check);
  check_same_size("accumulate", layer.accumulate, first.accumulate, check);
}

/// False: without rows nothing is to be done.
template <typename Args>
bool check_layers(const Args* args, const Checker& check) {
  check.pointer("args", args, 8);
  check.at_least("count", args->count, 1);
  check.at_most("count", args->count, LN_JOINT_LAYERS);
  check.pointer("layers", args->layers, 8);
  bool any = false;
  for (int64_t i = 0; i < args->count; ++i) {
    const Checker of_layer = check.of(ln::kJointLayerNames[i]);
    any = ln::check_linear(args->layers[i], of_layer);
    check_kind(args->layers[i], args->layers[0], of_layer);
  }
  return any;
}

}  // namespace

int32_t ln_joint_linear_fwd(ln_context* context, const ln_joint_linear_fwd_args* args) {
  return ln::guarded(context, "ln_joint_linear_fwd", [&](const Checker& check) {
    if (check_layers(args, check)) ln::backend::joint_linear_fwd(*context, *args, check);
  });
}

int32_t ln_joint_linear_bwd(ln_context* context, const ln_joint_linear_bwd_args* args) {
  return ln::guarded(context, "ln_joint_linear_bwd", [&](const Checker& check) {
    if (check_layers(args, check)) ln::backend::joint_linear_bwd(*context, *args, check);
  });
}
