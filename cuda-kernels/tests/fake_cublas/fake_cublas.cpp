// The symbols of cuBLAS that the library uses, on host memory: column-major, a plain loop, products of the rounded
// operands summed in float32 as CUBLAS_COMPUTE_32F demands. What is called in another order than cuBLAS wants, or with
// types or leading dimensions that it refuses, returns the status that it has for that.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kSuccess = 0, kNotInitialised = 1, kInvalidValue = 7, kNotSupported = 15;
constexpr int kTypeF32 = 0, kTypeBf16 = 14, kComputeF32 = 68, kComputeF32AsBf16 = 75;

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

namespace {

float rounded(float x, bool to_bf16) {
  if (!to_bf16) return x;
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&x, &bits, 4);
  return x;
}

int gemm(const Handle& it, int a_operation, int b_operation, int64_t m, int64_t n, int64_t k, const void* alpha,
         const void* a, int a_type, int64_t lda, const void* b, int b_type, int64_t ldb, const void* beta, void* c,
         int c_type, int64_t ldc, int compute_type, int algorithm) {
  if (const char* status = std::getenv("LORA_NATIVE_FAKE_CUBLAS_STATUS")) return std::atoi(status);
  if (!it.has_stream || it.workspace == nullptr || it.math_mode != 16) return kNotInitialised;
  if (a_type != b_type || (a_type != kTypeF32 && a_type != kTypeBf16) || c_type != kTypeF32) return kNotSupported;
  if ((compute_type != kComputeF32 && compute_type != kComputeF32AsBf16) || algorithm != -1) return kNotSupported;
  if (a_operation < 0 || a_operation > 1 || b_operation < 0 || b_operation > 1) return kInvalidValue;
  if (m < 0 || n < 0 || k < 0 || ldc < (m > 1 ? m : 1)) return kInvalidValue;
  const int64_t rows_of_a = a_operation == 0 ? m : k, rows_of_b = b_operation == 0 ? k : n;
  if (lda < (rows_of_a > 1 ? rows_of_a : 1) || ldb < (rows_of_b > 1 ? rows_of_b : 1)) return kInvalidValue;
  const bool to_bf16 = compute_type == kComputeF32AsBf16;
  const float factor = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      float sum = 0;
      for (int64_t p = 0; p < k; ++p) {
        const int64_t at_a = a_operation == 0 ? i + p * lda : p + i * lda;
        const int64_t at_b = b_operation == 0 ? p + j * ldb : j + p * ldb;
        sum += rounded(element(a, a_type, at_a), to_bf16) * rounded(element(b, b_type, at_b), to_bf16);
      }
      float& to = static_cast<float*>(c)[i + j * ldc];
      to = kept == 0 ? factor * sum : factor * sum + kept * to;
    }
  }
  return kSuccess;
}

}  // namespace

EXPORTED int cublasGemmEx(void* handle, int a_operation, int b_operation, int m, int n, int k, const void* alpha,
                          const void* a, int a_type, int lda, const void* b, int b_type, int ldb, const void* beta,
                          void* c, int c_type, int ldc, int compute_type, int algorithm) {
  return gemm(*static_cast<Handle*>(handle), a_operation, b_operation, m, n, k, alpha, a, a_type, lda, b, b_type, ldb,
              beta, c, c_type, ldc, compute_type, algorithm);
}
EXPORTED int cublasGemmEx_64(void* handle, int a_operation, int b_operation, int64_t m, int64_t n, int64_t k,
                             const void* alpha, const void* a, int a_type, int64_t lda, const void* b, int b_type,
                             int64_t ldb, const void* beta, void* c, int c_type, int64_t ldc, int compute_type,
                             int algorithm) {
  return gemm(*static_cast<Handle*>(handle), a_operation, b_operation, m, n, k, alpha, a, a_type, lda, b, b_type, ldb,
              beta, c, c_type, ldc, compute_type, algorithm);
}
