#include "backend.hpp"

namespace {

void check_not_negative(const ln::Checker& check, const char* name, double value) {
  check.finite(name, value);
  if (value < 0)
    check.fail(LN_INVALID_ARGUMENT, std::string(name) + " is " + std::to_string(value) + ", must be at least 0");
}

void check_beta(const ln::Checker& check, const char* name, double value) {
  if (!(value >= 0 && value < 1)) {
    check.fail(LN_INVALID_ARGUMENT,
               std::string(name) + " is " + std::to_string(value) + ", must be at least 0 and below 1");
  }
}

/// What both kinds of moments share.
template <typename Args>
void check_hyper_parameters(const ln::Checker& check, const Args* args) {
  check.pointer("args", args, 8);
  check.at_least("n", args->n, 0);
  check.at_least("step", args->step, 1);
  check_not_negative(check, "learning_rate", args->learning_rate);
  check_beta(check, "beta1", args->beta1);
  check_beta(check, "beta2", args->beta2);
  check_not_negative(check, "epsilon", args->epsilon);
  check_not_negative(check, "weight_decay", args->weight_decay);
  if (args->gradient_scale != nullptr) check.pointer("gradient_scale", args->gradient_scale);
}

}  // namespace

int32_t ln_gradient_scale(ln_context* context, const double* sums, int64_t count, double max_norm, float* scale) {
  return ln::guarded(context, "ln_gradient_scale", [&](const ln::Checker& check) {
    check.at_least("count", count, 1);
    check.pointer("sums", sums, 8);
    check_not_negative(check, "max_norm", max_norm);
    check.pointer("scale", scale);
    ln::backend::gradient_scale(*context, sums, count, max_norm, scale);
  });
}

int32_t ln_adamw(ln_context* context, const ln_adamw_args* args) {
  return ln::guarded(context, "ln_adamw", [&](const ln::Checker& check) {
    check_hyper_parameters(check, args);
    if (args->n == 0) return;
    check.pointer("parameters", args->parameters);
    check.pointer("gradients", args->gradients);
    check.pointer("first_moments", args->first_moments);
    check.pointer("second_moments", args->second_moments);
    ln::backend::adamw(*context, *args);
  });
}

int32_t ln_adamw_8bit(ln_context* context, const ln_adamw_8bit_args* args) {
  return ln::guarded(context, "ln_adamw_8bit", [&](const ln::Checker& check) {
    check_hyper_parameters(check, args);
    if (args->n == 0) return;
    check.pointer("parameters", args->parameters);
    check.pointer("gradients", args->gradients);
    check.pointer("first_moments", args->first_moments, 1);
    check.pointer("second_moments", args->second_moments, 1);
    check.pointer("first_absmax", args->first_absmax);
    check.pointer("second_absmax", args->second_absmax);
    ln::backend::adamw_8bit(*context, *args);
  });
}
