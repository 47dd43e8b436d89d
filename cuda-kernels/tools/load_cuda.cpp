// Loads the CUDA library as a program would and asks for device 0: with a GPU a context comes, without one a refusal in
// words. Exit status 0 for both.
//   load_cuda LIBRARY
#include <dlfcn.h>

#include <cstdio>

#include "lora_native.h"

namespace {

template <typename Function>
Function* symbol(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (found == nullptr) std::fprintf(stderr, "load_cuda: %s\n", dlerror());
  return reinterpret_cast<Function*>(found);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  void* library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "load_cuda: %s\n", dlerror());
    return 1;
  }
  const auto version = symbol<int32_t(void)>(library, "ln_abi_version");
  const auto create = symbol<int32_t(const ln_context_options*, ln_context**)>(library, "ln_context_create");
  const auto destroy = symbol<int32_t(ln_context*)>(library, "ln_context_destroy");
  const auto last_error = symbol<const char*(const ln_context*)>(library, "ln_last_error");
  if (version == nullptr || create == nullptr || destroy == nullptr || last_error == nullptr) return 1;
  if (version() != LN_ABI_VERSION) {
    std::fprintf(stderr, "load_cuda: ABI version %d, the header's is %d\n", version(), LN_ABI_VERSION);
    return 1;
  }
  ln_context_options options = {};
  ln_context* context = nullptr;
  const int32_t status = create(&options, &context);
  if (status == LN_OK) {
    std::printf("device 0: a context\n");
    return destroy(context) == LN_OK ? 0 : 1;
  }
  std::printf("device 0: status %d, %s\n", status, last_error(nullptr));
  return status == LN_UNSUPPORTED && context == nullptr && *last_error(nullptr) != '\0' ? 0 : 1;
}
