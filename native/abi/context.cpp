// Contexts: creation, last error, queries, scratch.
#include "backend.hpp"

namespace {

thread_local std::string creation_error;

}  // namespace

int32_t ln_abi_version(void) { return LN_ABI_VERSION; }

int32_t ln_context_create(const ln_context_options* options, ln_context** context) {
  if (context == nullptr) return LN_INVALID_ARGUMENT;
  *context = nullptr;
  ln_context* created = nullptr;
  try {
    created = new ln_context();
  } catch (...) {
    return LN_OUT_OF_MEMORY;
  }
  const int32_t status = ln::guarded(created, "ln_context_create", [&](const ln::Checker& check) {
    check.pointer("options", options);
    check.at_least("threads", options->threads, 0);
    check.at_most("threads", options->threads, 1024);
    if (options->simd < LN_SIMD_AUTO || options->simd > LN_SIMD_NEON) {
      check.fail(LN_INVALID_ARGUMENT, "simd is " + std::to_string(options->simd) + ", not an ln_simd");
    }
    if (options->precision < LN_PRECISION_AUTO || options->precision > LN_PRECISION_BF16) {
      check.fail(LN_INVALID_ARGUMENT, "precision is " + std::to_string(options->precision) + ", not an ln_precision");
    }
    if (options->gemm < LN_GEMM_AUTO || options->gemm > LN_GEMM_CUBLAS) {
      check.fail(LN_INVALID_ARGUMENT, "gemm is " + std::to_string(options->gemm) + ", not an ln_gemm");
    }
    ln::backend::create(*created, *options, check);
  });
  if (status != LN_OK) {
    creation_error.swap(created->error);
    delete created;
    return status;
  }
  *context = created;
  return LN_OK;
}

int32_t ln_context_destroy(ln_context* context) {
  if (context == nullptr) return LN_OK;
  ln::backend::destroy(*context);
  delete context;
  return LN_OK;
}

const char* ln_last_error(const ln_context* context) {
  return context == nullptr ? creation_error.c_str() : context->error.c_str();
}

const char* ln_unfinished(ln_context* context) {
  if (context == nullptr) return "";
  try {
    context->unfinished = ln::backend::unfinished(*context);
  } catch (...) {
    context->unfinished.clear();
  }
  return context->unfinished.c_str();
}

int32_t ln_query(ln_context* context, int32_t what, int64_t* value) {
  return ln::guarded(context, "ln_query", [&](const ln::Checker& check) {
    check.pointer("value", value, 8);
    *value = ln::backend::query(*context, what, check);
  });
}

int32_t ln_context_set_scratch(ln_context* context, void* scratch, int64_t bytes) {
  return ln::guarded(context, "ln_context_set_scratch", [&](const ln::Checker& check) {
    check.at_least("bytes", bytes, 0);
    if (bytes > 0) check.pointer("scratch", scratch, 64);
    context->scratch = bytes == 0 ? nullptr : scratch;
    context->scratch_bytes = bytes;
  });
}

int32_t ln_scratch_bytes(ln_context* context, int32_t op, const void* args, int64_t* bytes) {
  return ln::guarded(context, "ln_scratch_bytes", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check.pointer("bytes", bytes, 8);
    *bytes = ln::backend::scratch_bytes(*context, op, args, check);
  });
}
