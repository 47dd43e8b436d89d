// Turning C++ into the C border: every entry point runs inside guarded(), which catches everything and leaves one line
// of text on the context. Checks are written once here and compiled into every library (CPU, CUDA).
#pragma once

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

#include "lora_native.h"

namespace ln {

/// A refused call: status and text; thrown inside an entry point only, never crosses the border.
struct Error {
  int32_t status;
  std::string text;
};

/// Backend-specific part of a context (threads and SIMD tier on the CPU; device and stream on CUDA).
struct Backend;

/// The call under way, as messages name it: filled in by its checks. On a device a fault shows after calls have
/// returned, so that backends may keep these.
struct Call {
  static constexpr int kMostSizes = 8;
  struct Size {
    const char* name;
    int64_t value;
  };
  const char* function;
  int count;
  Size sizes[kMostSizes];

  void add(const char* name, int64_t value) {
    if (count < kMostSizes) sizes[count++] = {name, value};
  }
};

}  // namespace ln

struct ln_context {
  ln::Backend* backend = nullptr;
  void* scratch = nullptr;
  int64_t scratch_bytes = 0;
  ln::Call call = {};
  std::string error;
  std::string unfinished;
};

namespace ln {

/// Whether weights of this type lie behind an ln_quantized.
inline bool is_quantized(int32_t dtype) { return dtype == LN_NF4 || dtype == LN_FP4; }

/// Names the function and the argument in every refusal: "ln_rope: heads is -1, must be at least 1".
class Checker {
 public:
  /// Sizes and types that are checked become part of `call`.
  explicit Checker(Call& call) : call_(call) {}

  /// For arguments that belong together, so that a refusal says which of such groups it means.
  Checker of(const char* part) const {
    Checker checker(call_);
    checker.part_ = part;
    return checker;
  }

  void pointer(const char* name, const void* value, int64_t alignment = 4) const {
    if (value == nullptr) fail(LN_INVALID_ARGUMENT, std::string(name) + " is NULL");
    optional(name, value, alignment);
  }
  void optional(const char* name, const void* value, int64_t alignment = 4) const {
    if (reinterpret_cast<uintptr_t>(value) % static_cast<uintptr_t>(alignment) != 0) {
      fail(LN_INVALID_ARGUMENT, std::string(name) + " is not aligned to " + std::to_string(alignment) + " bytes");
    }
  }
  void at_least(const char* name, int64_t value, int64_t least) const {
    call_.add(name, value);
    if (value < least) {
      fail(LN_INVALID_ARGUMENT,
           std::string(name) + " is " + std::to_string(value) + ", must be at least " + std::to_string(least));
    }
  }
  void at_most(const char* name, int64_t value, int64_t most) const {
    if (value > most) {
      fail(LN_INVALID_ARGUMENT,
           std::string(name) + " is " + std::to_string(value) + ", must be at most " + std::to_string(most));
    }
  }
  void flag(const char* name, int32_t value) const {
    if (value != 0 && value != 1)
      fail(LN_INVALID_ARGUMENT, std::string(name) + " is " + std::to_string(value) + ", must be 0 or 1");
  }
  /// One of the types whose elements lie side by side.
  void dtype(const char* name, int32_t value) const {
    weight_dtype(name, value);
    if (is_quantized(value))
      fail(LN_INVALID_ARGUMENT,
           std::string(name) + " is " + std::to_string(value) + ", a 4-bit type; only weights are");
  }
  void weight_dtype(const char* name, int32_t value) const {
    call_.add(name, value);
    if (value < LN_F32 || value > LN_FP4)
      fail(LN_INVALID_ARGUMENT, std::string(name) + " is " + std::to_string(value) + ", not an ln_dtype");
  }
  void quantized_type(const char* name, int32_t value) const {
    if (!is_quantized(value)) {
      fail(LN_INVALID_ARGUMENT,
           std::string(name) + " is " + std::to_string(value) + ", must be LN_NF4 (3) or LN_FP4 (4)");
    }
  }
  void activation(const char* name, int32_t value) const {
    if (value < LN_SILU || value > LN_GELU_ERF)
      fail(LN_INVALID_ARGUMENT, std::string(name) + " is " + std::to_string(value) + ", not an ln_activation");
  }
  void power_of_two(const char* name, int64_t value, int64_t least, int64_t most) const {
    if (value < least || value > most || (value & (value - 1)) != 0) {
      fail(LN_INVALID_ARGUMENT, std::string(name) + " is " + std::to_string(value) + ", must be a power of two from " +
                                    std::to_string(least) + " to " + std::to_string(most));
    }
  }
  void finite(const char* name, double value) const {
    if (!(value - value == 0)) fail(LN_INVALID_ARGUMENT, std::string(name) + " is not finite");
  }
  [[noreturn]] void fail(int32_t status, const std::string& text) const {
    throw Error{status,
                std::string(call_.function) + ": " + (part_ == nullptr ? "" : std::string(part_) + ": ") + text};
  }

 private:
  Call& call_;
  const char* part_ = nullptr;
};

/// Bytes of an element, of the types that have whole bytes.
inline int64_t dtype_bytes(int32_t dtype) { return dtype == LN_F32 ? 4 : 2; }

/// What the pointer to a weight of this type must be aligned to.
inline int64_t weight_alignment(int32_t dtype) { return is_quantized(dtype) ? 8 : dtype_bytes(dtype); }

template <typename Body>
int32_t guarded(ln_context* context, const char* function, Body body) noexcept {
  if (context == nullptr) return LN_INVALID_ARGUMENT;
  try {
    context->call.function = function;
    context->call.count = 0;
    body(Checker(context->call));
    return LN_OK;
  } catch (const Error& error) {
    context->error = error.text;
    return error.status;
  } catch (const std::exception& error) {
    try {
      context->error = std::string(function) + ": " + error.what();
    } catch (...) {
      context->error.clear();
    }
    return LN_INTERNAL;
  } catch (...) {
    return LN_INTERNAL;
  }
}

/// Scratch of the context, or a refusal that names both sizes.
inline void* require_scratch(const ln_context& context, const Checker& check, int64_t bytes) {
  if (bytes > context.scratch_bytes) {
    check.fail(LN_SCRATCH_TOO_SMALL, "needs " + std::to_string(bytes) + " bytes of scratch, the context has " +
                                         std::to_string(context.scratch_bytes));
  }
  return context.scratch;
}

}  // namespace ln
