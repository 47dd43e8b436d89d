// The two halves of ln_grouped_linear_bwd, for an op that has work of its own between them.
#pragma once

#include "../abi/backend.hpp"

namespace ln::cpu {

/// v, dx, dlora_x; refuses what the tables of both halves have wrong.
void grouped_input_gradients(ln_context& context, const ln_grouped_linear_bwd_args& args, const Checker& check);
/// grad_a and grad_b, from v.
void grouped_adapter_gradients(ln_context& context, const ln_grouped_linear_bwd_args& args, const Checker& check);

}  // namespace ln::cpu
