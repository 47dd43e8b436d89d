// The symbols of cuBLAS that the library uses, on host memory: column-major, a plain loop, products of the rounded
// operands summed in float32 as CUBLAS_COMPUTE_32F demands. What is called in another order than cuBLAS wants, or with
// types or leading dimensions that it refuses, returns the status that it has for that.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kSuccess = 0, kNotInitialised = 1, kInvalidValue = 7, kNotSupported = 15;
constexpr int kTypeF32 = 0, kTypeBf16 = 14, kComputeF32 = 68;

struct Handle {
  bool has_stream = false;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  unsigned math_mode = 0;
};

float element(const void* matrix, int type, int64_t i) {
  if (type == kTypeF32) return static_cast<const float*>(matrix)[i];
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(matrix)[i]) << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int cublasCreate_v2(void** handle) {
  *handle = new Handle();
  return kSuccess;
}
EXPORTED int cublasDestroy_v2(void* handle) {
  delete static_cast<Handle*>(handle);
  return kSuccess;
}
EXPORTED int cublasSetStream_v2(void* handle, void*) {
  auto* const it = static_cast<Handle*>(handle);
  it->has_stream = true;
  it->workspace = nullptr;  // as cuBLAS does
  return kSuccess;
}
EXPORTED int cublasSetWorkspace_v2(void* handle, void* workspace, size_t bytes) {
  static_cast<Handle*>(handle)->workspace = workspace;
  static_cast<Handle*>(handle)->workspace_bytes = bytes;
  return reinterpret_cast<uintptr_t>(workspace) % 16 == 0 ? kSuccess : kInvalidValue;
}
EXPORTED int cublasSetMathMode(void* handle, unsigned mode) {
  static_cast<Handle*>(handle)->math_mode = mode;
  return kSuccess;
}
EXPORTED int cublasGetVersion_v2(void*, int* version) {
  *version = 120304;
  return kSuccess;
}

EXPORTED int cublasGemmEx(void* handle, int a_operation, int b_operation, int m, int n, int k, const void* alpha,
                          const void* a, int a_type, int lda, const void* b, int b_type, int ldb, const void* beta,
                          void* c, int c_type, int ldc, int compute_type, int algorithm) {
  const Handle& it = *static_cast<Handle*>(handle);
  if (const char* status = std::getenv("LORA_NATIVE_FAKE_CUBLAS_STATUS")) return std::atoi(status);
  if (!it.has_stream || it.workspace == nullptr || it.math_mode != 16) return kNotInitialised;
  if (a_type != b_type || (a_type != kTypeF32 && a_type != kTypeBf16) || c_type != kTypeF32) return kNotSupported;
  if (compute_type != kComputeF32 || algorithm != -1) return kNotSupported;
  if (a_operation < 0 || a_operation > 1 || b_operation < 0 || b_operation > 1) return kInvalidValue;
  if (m < 0 || n < 0 || k < 0 || ldc < (m > 1 ? m : 1)) return kInvalidValue;
  if (lda < (a_operation == 0 ? m : k) || ldb < (b_operation == 0 ? k : n)) return kInvalidValue;
  const float factor = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) {
      float sum = 0;
      for (int p = 0; p < k; ++p) {
        const int64_t at_a = a_operation == 0 ? i + int64_t{p} * lda : p + int64_t{i} * lda;
        const int64_t at_b = b_operation == 0 ? p + int64_t{j} * ldb : j + int64_t{p} * ldb;
        sum += element(a, a_type, at_a) * element(b, b_type, at_b);
      }
      float& to = static_cast<float*>(c)[i + int64_t{j} * ldc];
      to = kept == 0 ? factor * sum : factor * sum + kept * to;
    }
  }
  return kSuccess;
}
