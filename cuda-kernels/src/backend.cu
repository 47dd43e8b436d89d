// Contexts of the CUDA library and of its emulation.
#if defined(LN_EMULATED)
#include <dlfcn.h>
#endif

#include <cstdlib>

#include "cublas.hpp"
#include "cuda_backend.hpp"
#include "scratch.hpp"

namespace ln {

namespace {

/// Host memory, written while the host may read it.
__global__ void write_done(int64_t* done, int64_t launches) { *static_cast<volatile int64_t*>(done) = launches; }

bool is_set(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && *value != '\0' && std::string(value) != "0";
}

std::string version_text(int32_t capability) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

[[noreturn]] void refuse_kernels(const Backend& backend, const std::string& built_for, const std::string& reason,
                                 const Checker& check) {
  check.fail(LN_UNSUPPORTED, "device " + std::to_string(backend.device) + " has compute capability " +
                                 version_text(backend.capability) + ", but the kernels were built for " + built_for +
                                 " (" + reason + "); build them for it (LN_CUDA_ARCHITECTURES)");
}

#if defined(LN_EMULATED)
// Device numbers of the emulation name schedules: 0 runs the threads of a block in order, the others shuffle them.
constexpr int32_t kSchedules = 16;

void open_device(Backend& backend, const Checker& check) {
  if (backend.device >= kSchedules) {
    check.fail(LN_INVALID_ARGUMENT, "device is " + std::to_string(backend.device) +
                                        ", the emulation has schedules 0 to " + std::to_string(kSchedules - 1));
  }
  backend.processors = 4;
  const char* const capability = std::getenv("FAKE_CUDA_CAPABILITY");
  backend.capability = capability == nullptr ? 80 : std::atoi(capability);
  // "8.0, 8.9": as if built for these alone.
  const char* const built_for = std::getenv("EMULATED_BUILT_FOR");
  if (built_for != nullptr && std::string(built_for).find(version_text(backend.capability)) == std::string::npos) {
    refuse_kernels(backend, built_for, "as EMULATED_BUILT_FOR says", check);
  }
  // "20" or "20,25": the 20th launch faults, the 25th reports it.
  if (const char* const fault = std::getenv("EMULATED_FAULT")) {
    long long at = 0, seen = INT64_MAX;
    std::sscanf(fault, "%lld,%lld", &at, &seen);
    backend.fault_at = at;
    backend.fault_seen = seen;
  }
  backend.notice = new uint64_t(cuda::kNothing);
  backend.partials = new double[cuda::kPartials];
  backend.done = new int64_t(0);
}

void close_device(Backend& backend) noexcept {
  delete backend.notice;
  delete[] backend.partials;
  delete backend.done;
}
#else
constexpr int32_t kLeastCapability = 80;

/// "8.0, 8.6, 9.0"
std::string built_for() {
  std::string text;
  for (int architecture : {__CUDA_ARCH_LIST__}) text += (text.empty() ? "" : ", ") + version_text(architecture / 10);
  return text;
}

/// A library that was built for other GPUs would fail at its first launch, long after this one was chosen.
void require_kernels(const Backend& backend, const Checker& check) {
  cudaFuncAttributes attributes;
  const cudaError_t status = cudaFuncGetAttributes(&attributes, write_done);
  switch (status) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorInvalidKernelImage:
    // There is PTX, which this driver cannot translate:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled:
      cudaGetLastError();  // or the next one who asks gets it
      refuse_kernels(backend, built_for(), cudaGetErrorName(status), check);
    default:
      cuda::require(status, "ln_context_create");
  }
}

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
                                   version_text(backend.capability) + ", at least 8.0 is needed");
  }
  require_kernels(backend, check);
  cuda::require(cudaHostAlloc(&backend.done, sizeof(int64_t), cudaHostAllocMapped), "ln_context_create");
  *backend.done = 0;
  const cudaError_t taken = cudaMalloc(&backend.partials, cuda::kPartials * sizeof(double) + sizeof(uint64_t));
  if (taken != cudaSuccess) cudaFreeHost(backend.done);
  cuda::require(taken, "ln_context_create");
  backend.notice = reinterpret_cast<uint64_t*>(backend.partials + cuda::kPartials);
}

void close_device(Backend& backend) noexcept {
  if (cudaSetDevice(backend.device) != cudaSuccess) return;
  cudaFree(backend.partials);
  cudaFreeHost(backend.done);
}
#endif

}  // namespace

namespace cuda {

void mark(const ln_context& context) {
  const Launches& launches = *context.backend->launches;
  if (!launches.mark_is_due()) return;
#if defined(LN_EMULATED)
  put(context, write_done, 1, 1, 0, context.backend->done, launches.count());
#else
  require(put(context, write_done, 1, 1, 0, context.backend->done, launches.count()), context.call.function);
#endif
}

#if defined(LN_EMULATED)
bool emulation_goes_on(const ln_context& context, const char* name) {
  const Backend& backend = *context.backend;
  const int64_t launched = backend.launches->count();
  if (backend.fault_at == 0 || launched < backend.fault_at) return true;
  if (launched == backend.fault_at) {
    // The stand-in for the driver, where there is one, fails from now on as well.
    constexpr int kIllegalAddress = 700;
    void* const driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    void* const fail = driver == nullptr ? nullptr : dlsym(driver, "fake_cuda_fail");
    if (fail != nullptr) reinterpret_cast<void (*)(int)>(fail)(kIllegalAddress);
  }
  if (launched >= backend.fault_seen) {
    throw Error{LN_DEVICE_ERROR, std::string(name) + ": cudaErrorIllegalAddress, as EMULATED_FAULT asks for"};
  }
  return false;
}
void clear(const ln_context& context, void* at, int64_t bytes) {
  remember(context);
  if (!emulation_goes_on(context, "clear")) return;
  std::memset(at, 0, static_cast<size_t>(bytes));
  mark(context);
}
void reset_notice(const ln_context& context) { *context.backend->notice = kNothing; }
uint64_t read_notice(const ln_context& context) { return *context.backend->notice; }
#else
void clear(const ln_context& context, void* at, int64_t bytes) {
  remember(context);
  require(cudaSetDevice(context.backend->device), "clear");
  require(cudaMemsetAsync(at, 0, static_cast<size_t>(bytes), stream_of(context)), "clear");
  mark(context);
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
  opened.launches = new cuda::Launches(is_set("CUDA_LAUNCH_BLOCKING"));
  context.backend = new Backend(opened);
}

std::string unfinished(const ln_context& context) {
  return context.backend->launches->unfinished(*static_cast<const volatile int64_t*>(context.backend->done));
}

void destroy(ln_context& context) noexcept {
  cuda::close_cublas(context.backend->cublas);
  delete context.backend->launches;
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
    case LN_OP_JOINT_LINEAR_FWD:
      return cuda::joint_linear_fwd_scratch(context, *static_cast<const ln_joint_linear_fwd_args*>(args));
    case LN_OP_JOINT_LINEAR_BWD:
      return cuda::joint_linear_bwd_scratch(context, *static_cast<const ln_joint_linear_bwd_args*>(args));
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
    case LN_OP_GROUPED_DOWN_BWD:
      return cuda::grouped_down_bwd_scratch(context, *static_cast<const ln_grouped_down_bwd_args*>(args));
    default:
      check.fail(LN_INVALID_ARGUMENT, "op is " + std::to_string(op) + ", not an ln_op");
  }
}

}  // namespace backend
}  // namespace ln
