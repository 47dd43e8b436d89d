// Scratch for one op of smallest_shapes.
#pragma once

#include "device_memory.hpp"
#include "lora_native.h"

namespace ln::smallest {

/// Gives the context exactly the scratch that the op asks for, for the life of the object.
class Scratch {
 public:
  template <typename Args>
  Scratch(ln_context* context, int32_t op, const Args& args) : context_(context) {
    int64_t bytes = 0;
    if (ln_scratch_bytes(context, op, &args, &bytes) != LN_OK) fail(ln_last_error(context));
    if (bytes == 0) return;
    at_ = allocate(static_cast<size_t>(bytes));
    if (ln_context_set_scratch(context, at_, bytes) != LN_OK) fail(ln_last_error(context));
  }
  ~Scratch() {
    if (at_ == nullptr) return;
    wait();
    ln_context_set_scratch(context_, nullptr, 0);
    release(at_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

 private:
  ln_context* context_;
  void* at_ = nullptr;
};

}  // namespace ln::smallest
