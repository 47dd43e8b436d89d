#include "backend.hpp"

namespace {

void check_sizes(const ln::Checker& check, int64_t tokens, int64_t experts, int64_t top_k, int32_t renormalise) {
  check.at_least("tokens", tokens, 0);
  check.at_least("experts", experts, 1);
  check.at_most("experts", experts, 1 << 20);
  check.at_least("top_k", top_k, 1);
  check.at_most("top_k", top_k, experts);
  check.flag("renormalise", renormalise);
}

}  // namespace

int32_t ln_router_fwd(ln_context* context, const ln_router_fwd_args* args) {
  return ln::guarded(context, "ln_router_fwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check_sizes(check, args->tokens, args->experts, args->top_k, args->renormalise);
    if ((args->counts == nullptr) != (args->probability_sums == nullptr)) {
      check.fail(LN_INVALID_ARGUMENT, "counts and probability_sums must both be given or both be NULL");
    }
    check.optional("counts", args->counts, 8);
    check.optional("probability_sums", args->probability_sums, 8);
    check.optional("log_sum_exp", args->log_sum_exp);
    check.optional("square_sum", args->square_sum, 8);
    if (args->square_sum != nullptr && args->log_sum_exp == nullptr) {
      check.fail(LN_INVALID_ARGUMENT, "square_sum needs log_sum_exp, which is NULL");
    }
    if (args->tokens == 0) return;
    check.pointer("logits", args->logits);
    check.pointer("probabilities", args->probabilities);
    check.pointer("ids", args->ids);
    check.pointer("weights", args->weights);
    ln::backend::router_fwd(*context, *args);
  });
}

int32_t ln_router_bwd(ln_context* context, const ln_router_bwd_args* args) {
  return ln::guarded(context, "ln_router_bwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check_sizes(check, args->tokens, args->experts, args->top_k, args->renormalise);
    check.optional("dprobabilities", args->dprobabilities);
    check.optional("log_sum_exp", args->log_sum_exp);
    if (args->log_sum_exp != nullptr) check.finite("z_scale", static_cast<double>(args->z_scale));
    if (args->tokens == 0) return;
    check.pointer("probabilities", args->probabilities);
    check.pointer("ids", args->ids);
    check.pointer("weights", args->weights);
    check.pointer("dweights", args->dweights);
    check.pointer("dlogits", args->dlogits);
    ln::backend::router_bwd(*context, *args);
  });
}

int32_t ln_load_balancing_loss(ln_context* context, const int64_t* counts, const double* probability_sums,
                               int64_t experts, int64_t router_rows, float coefficient, double* loss,
                               float* dprobabilities) {
  return ln::guarded(context, "ln_load_balancing_loss", [&](const ln::Checker& check) {
    check.at_least("experts", experts, 1);
    check.at_least("router_rows", router_rows, 1);
    check.finite("coefficient", static_cast<double>(coefficient));
    check.pointer("counts", counts, 8);
    check.pointer("probability_sums", probability_sums, 8);
    check.pointer("loss", loss, 8);
    check.optional("dprobabilities", dprobabilities);
    ln::backend::load_balancing_loss(*context, counts, probability_sums, experts, router_rows, coefficient, loss,
                                     dprobabilities);
  });
}
