// What a linear layer's arguments must be, for every op that has such layers.
#pragma once

#include "backend.hpp"

namespace ln {

/// Everything that is checked of a layer; false: without rows nothing else is read.
bool check_linear(const ln_linear_fwd_args& args, const Checker& check);
bool check_linear(const ln_linear_bwd_args& args, const Checker& check);

}  // namespace ln
