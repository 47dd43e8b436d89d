// Contexts of the CUDA library and of its emulation.
#include "cublas.hpp"
#include "cuda_backend.hpp"
#include "scratch.hpp"

namespace ln {

namespace {

#if defined(LN_EMULATED)
// Device numbers of the emulation name schedules: 0 runs the threads of a block in order, the others shuffle them.
constexpr int32_t kSchedules = 16;

void open_device(Backend& backend, const Checker& check) {
  if (backend.device >= kSchedules) {
    check.fail(LN_INVALID_ARGUMENT, "device is " + std::to_string(backend.device) +
                                        ", the emulation has schedules 0 to " + std::to_string(kSchedules - 1));
  }
  backend.processors = 4;
  backend.capability = 80;
  backend.notice = new uint64_t(cuda::kNothing);
  backend.partials = new double[cuda::kPartials];
}

void close_device(Backend& backend) noexcept {
  delete backend.notice;
  delete[] backend.partials;
}
#else
constexpr int32_t kLeastCapability = 80;

void open_device(Backend& backend, const Checker& check) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess) {
    check.fail(LN_UNSUPPORTED, std::string("no CUDA device can be used: ") + cudaGetErrorString(found));
  }
  if (backend.device >= count) {
    check.fail(LN_INVALID_ARGUMENT,
               "device is " + std::to_string(backend.device) + ", there are " + std::to_string(count));
  }
  cuda::require(cudaSetDevice(backend.device), "ln_context_create");
  int major = 0, minor = 0;
  cuda::require(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, backend.device), "ln_context_create");
  cuda::require(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, backend.device), "ln_context_create");
  cuda::require(cudaDeviceGetAttribute(&backend.processors, cudaDevAttrMultiProcessorCount, backend.device),
                "ln_context_create");
  backend.capability = major * 10 + minor;
  if (backend.capability < kLeastCapability) {
    check.fail(LN_UNSUPPORTED, "device " + std::to_string(backend.device) + " has compute capability " +
                                   std::to_string(major) + "." + std::to_string(minor) + ", at least 8.0 is needed");
  }
  // One allocation, the partial sums first: nothing is left behind if it fails.
  cuda::require(cudaMalloc(&backend.partials, cuda::kPartials * sizeof(double) + sizeof(uint64_t)),
                "ln_context_create");
  backend.notice = reinterpret_cast<uint64_t*>(backend.partials + cuda::kPartials);
}

void close_device(Backend& backend) noexcept {
  if (cudaSetDevice(backend.device) == cudaSuccess) cudaFree(backend.partials);
}
#endif

}  // namespace

namespace cuda {

#if defined(LN_EMULATED)
void clear(const ln_context&, void* at, int64_t bytes) { std::memset(at, 0, static_cast<size_t>(bytes)); }
void reset_notice(const ln_context& context) { *context.backend->notice = kNothing; }
uint64_t read_notice(const ln_context& context) { return *context.backend->notice; }
#else
void clear(const ln_context& context, void* at, int64_t bytes) {
  require(cudaSetDevice(context.backend->device), "clear");
  require(cudaMemsetAsync(at, 0, static_cast<size_t>(bytes), stream_of(context)), "clear");
}
void reset_notice(const ln_context& context) {
  require(cudaSetDevice(context.backend->device), "reset_notice");
  require(cudaMemsetAsync(context.backend->notice, 0xff, sizeof(uint64_t), stream_of(context)), "reset_notice");
}
uint64_t read_notice(const ln_context& context) {
  uint64_t value = 0;
  require(cudaMemcpyAsync(&value, context.backend->notice, sizeof(value), cudaMemcpyDeviceToHost, stream_of(context)),
          "read_notice");
  require(cudaStreamSynchronize(stream_of(context)), "read_notice");
  return value;
}
#endif

}  // namespace cuda

namespace backend {

void create(ln_context& context, const ln_context_options& options, const Checker& check) {
  if (options.device < 0)
    check.fail(LN_INVALID_ARGUMENT,
               "device is " + std::to_string(options.device) + ", the CUDA library takes 0 and up");
  Backend opened = {};
  opened.device = options.device;
  opened.stream = options.stream;
  opened.precision = options.precision == LN_PRECISION_F32 ? LN_PRECISION_F32 : LN_PRECISION_BF16;
  opened.gemm = LN_GEMM_OWN;
  if (options.gemm < LN_GEMM_AUTO || options.gemm > LN_GEMM_CUBLAS) {
    check.fail(LN_INVALID_ARGUMENT, "gemm is " + std::to_string(options.gemm) + ", not an ln_gemm");
  }
  open_device(opened, check);
  if (options.gemm != LN_GEMM_OWN) {
    std::string why_not;
    opened.cublas = cuda::open_cublas(opened, why_not);
    if (opened.cublas != nullptr) {
      opened.gemm = LN_GEMM_CUBLAS;
    } else if (options.gemm == LN_GEMM_CUBLAS) {
      close_device(opened);
      check.fail(LN_UNSUPPORTED, "cuBLAS is asked for, but cannot be used: " + why_not);
    }
  }
  context.backend = new Backend(opened);
}

void destroy(ln_context& context) noexcept {
  cuda::close_cublas(context.backend->cublas);
  close_device(*context.backend);
  delete context.backend;
}

int64_t query(const ln_context& context, int32_t what, const Checker& check) {
  switch (what) {
    case LN_QUERY_PRECISION:
      return context.backend->precision;
    case LN_QUERY_GEMM:
      return context.backend->gemm;
    case LN_QUERY_COMPUTE_CAPABILITY:
      return context.backend->capability;
    case LN_QUERY_CUBLAS_VERSION:
      return context.backend->cublas == nullptr ? 0 : cuda::cublas_version(*context.backend->cublas);
    default:
      check.fail(LN_INVALID_ARGUMENT, "what is " + std::to_string(what) + ", not an ln_query_what of a CUDA device");
  }
}

int64_t scratch_bytes(const ln_context& context, int32_t op, const void* args, const Checker& check) {
  switch (op) {
    case LN_OP_MATMUL:
      return cuda::matmul_scratch(context, *static_cast<const ln_matmul_args*>(args));
    case LN_OP_LINEAR_FWD:
      return cuda::linear_fwd_scratch(context, *static_cast<const ln_linear_fwd_args*>(args));
    case LN_OP_LINEAR_BWD:
      return cuda::linear_bwd_scratch(context, *static_cast<const ln_linear_bwd_args*>(args));
    case LN_OP_GROUPED_LINEAR_FWD:
      return cuda::grouped_linear_fwd_scratch(context, *static_cast<const ln_grouped_linear_fwd_args*>(args));
    case LN_OP_GROUPED_LINEAR_BWD:
      return cuda::grouped_linear_bwd_scratch(context, *static_cast<const ln_grouped_linear_bwd_args*>(args));
    case LN_OP_ATTENTION_FWD:
      return cuda::attention_fwd_scratch(context, *static_cast<const ln_attention_args*>(args));
    case LN_OP_ATTENTION_BWD:
      return cuda::attention_bwd_scratch(context, *static_cast<const ln_attention_args*>(args));
    case LN_OP_MOE_PLAN:
      return cuda::moe_plan_scratch(context, *static_cast<const ln_moe_plan_args*>(args));
    case LN_OP_GROUPED_GATED_FWD:
      return cuda::grouped_gated_fwd_scratch(context, *static_cast<const ln_grouped_gated_fwd_args*>(args));
    case LN_OP_GROUPED_GATED_BWD:
      return cuda::grouped_gated_bwd_scratch(context, *static_cast<const ln_grouped_gated_bwd_args*>(args));
    default:
      check.fail(LN_INVALID_ARGUMENT, "op is " + std::to_string(op) + ", not an ln_op");
  }
}

}  // namespace backend
}  // namespace ln
