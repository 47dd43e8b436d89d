// cuBLAS through dlopen. Looked for as $LORA_NATIVE_CUBLAS (a path, for installations at odd places), libcublas.so.13,
// libcublas.so.12. Declarations are those of cublas_api.h, which is not needed to build. One stream and fixed working
// memory per handle: that is what cuBLAS asks for results that are the same in every run.
#include <dlfcn.h>

#include <cstdlib>

#include "cublas.hpp"

namespace ln::cuda {

namespace {

enum Operation : int { kAsStored = 0, kTransposed = 1 };  // cublasOperation_t
enum DataType : int { kTypeF32 = 0, kTypeBf16 = 14 };     // cudaDataType_t
constexpr int kComputeF32 = 68;                           // CUBLAS_COMPUTE_32F
constexpr int kDefaultAlgorithm = -1;                     // CUBLAS_GEMM_DEFAULT
constexpr unsigned kFullPrecisionReductions = 16;         // CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION
constexpr size_t kWorkspaceBytes = 32 << 20;              // what NVIDIA recommends for Hopper

struct Functions {
  int (*create)(void** handle);
  int (*destroy)(void* handle);
  int (*set_stream)(void* handle, void* stream);
  int (*set_workspace)(void* handle, void* workspace, size_t bytes);
  int (*set_math_mode)(void* handle, unsigned mode);
  int (*get_version)(void* handle, int* version);
  int (*gemm)(void* handle, Operation a_operation, Operation b_operation, int m, int n, int k, const void* alpha,
              const void* a, DataType a_type, int lda, const void* b, DataType b_type, int ldb, const void* beta,
              void* c, DataType c_type, int ldc, int compute_type, int algorithm);
};

template <typename Function>
bool find(void* library, const char* symbol, Function& function, std::string& why_not) {
  void* const address = dlsym(library, symbol);
  function = reinterpret_cast<Function>(address);
  if (address == nullptr) why_not = std::string("cuBLAS has no ") + symbol;
  return address != nullptr;
}

/// Stays open for as long as the process lives: unloading it while streams still use its kernels is not safe.
void* open_library(std::string& why_not) {
  const char* const named = std::getenv("LORA_NATIVE_CUBLAS");
  const char* const usual[] = {"libcublas.so.13", "libcublas.so.12"};
  if (named != nullptr && *named != '\0') {
    void* const library = dlopen(named, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) why_not = std::string("LORA_NATIVE_CUBLAS: ") + dlerror();
    return library;
  }
  for (const char* name : usual) {
    void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) return library;
    why_not += (why_not.empty() ? "" : "; ") + std::string(dlerror());
  }
  return nullptr;
}

void* allocate_workspace() {
#if defined(LN_EMULATED)
  return std::malloc(kWorkspaceBytes);
#else
  void* workspace = nullptr;
  return cudaMalloc(&workspace, kWorkspaceBytes) == cudaSuccess ? workspace : nullptr;
#endif
}

void free_workspace(void* workspace) {
#if defined(LN_EMULATED)
  std::free(workspace);
#else
  cudaFree(workspace);
#endif
}

}  // namespace

struct Cublas {
  Functions functions;
  void* handle;
  void* workspace;
  int version;
};

Cublas* open_cublas(const Backend& backend, std::string& why_not) {
  void* const library = open_library(why_not);
  if (library == nullptr) return nullptr;
  Cublas opened = {};
  Functions& f = opened.functions;
  if (!find(library, "cublasCreate_v2", f.create, why_not) || !find(library, "cublasDestroy_v2", f.destroy, why_not) ||
      !find(library, "cublasSetStream_v2", f.set_stream, why_not) ||
      !find(library, "cublasSetWorkspace_v2", f.set_workspace, why_not) ||
      !find(library, "cublasSetMathMode", f.set_math_mode, why_not) ||
      !find(library, "cublasGetVersion_v2", f.get_version, why_not) ||
      !find(library, "cublasGemmEx", f.gemm, why_not)) {
    return nullptr;
  }
  int status = f.create(&opened.handle);
  if (status != 0) {
    why_not = "cublasCreate returns status " + std::to_string(status);
    return nullptr;
  }
  opened.workspace = allocate_workspace();
  // The stream first: setting it resets the working memory.
  const char* step = "cublasSetStream";
  status = f.set_stream(opened.handle, backend.stream);
  if (status == 0) {
    step = "cublasSetWorkspace";
    status = opened.workspace == nullptr ? -1 : f.set_workspace(opened.handle, opened.workspace, kWorkspaceBytes);
  }
  if (status == 0) {
    step = "cublasSetMathMode";
    status = f.set_math_mode(opened.handle, kFullPrecisionReductions);
  }
  if (status == 0) {
    step = "cublasGetVersion";
    status = f.get_version(opened.handle, &opened.version);
  }
  if (status != 0) {
    why_not = opened.workspace == nullptr ? "no device memory for the working memory of cuBLAS"
                                          : std::string(step) + " returns status " + std::to_string(status);
    f.destroy(opened.handle);
    free_workspace(opened.workspace);
    return nullptr;
  }
  return new Cublas(opened);
}

void close_cublas(Cublas* cublas) noexcept {
  if (cublas == nullptr) return;
  cublas->functions.destroy(cublas->handle);
  free_workspace(cublas->workspace);
  delete cublas;
}

int64_t cublas_version(const Cublas& cublas) { return cublas.version; }

bool fits_cublas(const Product& p) {
  constexpr int64_t kMost = 0x7fffffff - 8;  // converted operands have up to 7 elements of gap
  return p.m <= kMost && p.n <= kMost && p.k <= kMost && p.left.ld <= kMost && p.right.ld <= kMost &&
         p.row_stride <= kMost && p.column_stride == 1;
}

void multiply_by_cublas(const ln_context& context, const char* name, const Product& p) {
  const Cublas& cublas = *context.backend->cublas;
  const DataType type = multiplies_in_bf16(context) ? kTypeBf16 : kTypeF32;
  remember(context);
#if defined(LN_EMULATED)
  if (!emulation_goes_on(context, name)) return;
#else
  require(cudaSetDevice(context.backend->device), name);
#endif
  // cuBLAS counts by columns, so it computes c^T = right^T . left^T: an operand with k inside is k x lines to it.
  const int status = cublas.functions.gemm(
      cublas.handle, p.right.k_inner != 0 ? kTransposed : kAsStored, p.left.k_inner != 0 ? kAsStored : kTransposed,
      static_cast<int>(p.n), static_cast<int>(p.m), static_cast<int>(p.k), &p.alpha, p.right.data, type,
      static_cast<int>(p.right.ld), p.left.data, type, static_cast<int>(p.left.ld), &p.beta, p.c, kTypeF32,
      static_cast<int>(p.row_stride), kComputeF32, kDefaultAlgorithm);
  if (status != 0) {
    throw Error{LN_DEVICE_ERROR, std::string(name) + ": cublasGemmEx returns status " + std::to_string(status) +
                                     " for m " + std::to_string(p.m) + ", n " + std::to_string(p.n) + ", k " +
                                     std::to_string(p.k)};
  }
  mark(context);
}

}  // namespace ln::cuda
