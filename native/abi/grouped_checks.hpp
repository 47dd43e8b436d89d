// What the grouped linear layer and the pair of them in gated MLPs check alike.
#pragma once

#include "backend.hpp"

namespace ln {

template <typename Args>
void check_grouped_sizes(const Args& args, const Checker& check) {
  check.at_least("rows", args.rows, 0);
  check.at_most("rows", args.rows, INT32_MAX);  // offsets are int32
  check.at_least("in", args.in, 1);
  check.at_least("out", args.out, 1);
  check.at_least("experts", args.experts, 1);
  check.weight_dtype("weight_dtype", args.weight_dtype);
}

inline void check_max_rank(const char* name, int64_t max_rank, const Checker& check) {
  check.at_least(name, max_rank, 0);
  check.at_most(name, max_rank, INT32_MAX);
}

/// The tables of adapters, whose entries are the backend's to check, as they lie in its memory.
template <typename Args>
void check_adapter_tables(const Args& args, const Checker& check) {
  check.pointer("lora_a", args.lora_a, alignof(void*));
  check.pointer("lora_b", args.lora_b, alignof(void*));
  check.pointer("ranks", args.ranks);
  check.pointer("scales", args.scales);
}

template <typename Args>
void check_gradient_tables(const Args& args, const Checker& check) {
  check.pointer("grad_a", args.grad_a, alignof(void*));
  check.pointer("grad_b", args.grad_b, alignof(void*));
}

template <typename Args>
void check_both_gradients(const Args& args, const Checker& check) {
  if ((args.grad_a == nullptr) != (args.grad_b == nullptr)) {
    check.fail(LN_INVALID_ARGUMENT, "grad_a and grad_b must both be given or both be NULL");
  }
}

}  // namespace ln
