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

}  // namespace

int32_t ln_adamw(ln_context* context, const ln_adamw_args* args) {
  return ln::guarded(context, "ln_adamw", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check.at_least("n", args->n, 0);
    check.at_least("step", args->step, 1);
    check_not_negative(check, "learning_rate", args->learning_rate);
    check_beta(check, "beta1", args->beta1);
    check_beta(check, "beta2", args->beta2);
    check_not_negative(check, "epsilon", args->epsilon);
    check_not_negative(check, "weight_decay", args->weight_decay);
    check.finite("gradient_scale", args->gradient_scale);
    if (args->n == 0) return;
    check.pointer("parameters", args->parameters);
    check.pointer("gradients", args->gradients);
    check.pointer("first_moments", args->first_moments);
    check.pointer("second_moments", args->second_moments);
    ln::backend::adamw(*context, *args);
  });
}
