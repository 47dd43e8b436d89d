// The CUDA side of a context: device, stream, what products multiply in, and how kernels are launched. Compiled by nvcc
// for GPUs and by g++ for the emulator (LN_EMULATED), where "device memory" is host memory.
#pragma once

#include <string>
#include <tuple>

#include "../../native/abi/backend.hpp"
#include "../simt/simt.hpp"
#include "launches.hpp"

namespace ln {

namespace cuda {
struct Cublas;
}

struct Backend {
  int32_t device;
  void* stream;          // cudaStream_t
  int32_t precision;     // LN_PRECISION_F32 or LN_PRECISION_BF16
  int32_t gemm;          // LN_GEMM_OWN or LN_GEMM_CUBLAS
  int32_t processors;    // streaming multiprocessors
  int32_t capability;    // 90 for compute capability 9.0
  cuda::Cublas* cublas;  // NULL with LN_GEMM_OWN
  uint64_t* notice;      // [1] in device memory: what a kernel has to say to the host (see read_notice)
  double* partials;      // [cuda::kPartials] in device memory: sums of blocks between two kernels of one op
  cuda::Launches* launches;
  int64_t* done;  // [1] in host memory: the device writes how many of the launches it has finished at least
#if defined(LN_EMULATED)
  int64_t fault_at, fault_seen;  // numbers of launches: of the one that faults, of the first one that says so; or 0
#endif
};

namespace cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
/// Room for the sums of blocks that a second kernel adds up: for ops whose ABI has no scratch. Kernels of a context run
/// one after another, so the next op may use it again.
constexpr int64_t kPartials = 1 << 17;

inline bool multiplies_in_bf16(const ln_context& context) { return context.backend->precision == LN_PRECISION_BF16; }

template <typename T>
constexpr T ceil_div(T n, T per) {
  return (n + per - 1) / per;
}

/// Blocks for n elements, `per_block` each; kernels stride over what is left beyond the limit.
inline unsigned blocks_for(int64_t n, int64_t per_block, int64_t most = 1 << 20) {
  const int64_t blocks = ceil_div(n, per_block);
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks > most ? most : blocks);
}

#if !defined(LN_EMULATED)
inline void require(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error{LN_DEVICE_ERROR, std::string(what) + ": " + cudaGetErrorName(status) + ", " + cudaGetErrorString(status)};
}

inline cudaStream_t stream_of(const ln_context& context) { return static_cast<cudaStream_t>(context.backend->stream); }
#endif

/// Remembers that something is about to be launched for the call under way, see launches.hpp.
inline void remember(const ln_context& context) { context.backend->launches->add(context.call); }

/// After a launch: has the device write that it got here, where that is due.
void mark(const ln_context& context);

#if defined(LN_EMULATED)
/// Whether the kernel that was remembered last runs: none does after a fault that was asked for, and sooner or later
/// launches report it, as on a GPU.
bool emulation_goes_on(const ln_context& context, const char* name);

template <typename... Parameters, typename... Arguments>
void put(const ln_context& context, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
         Arguments... arguments) {
  const std::function<void()> body = [&] { kernel(static_cast<Parameters>(arguments)...); };
  simt::launch(grid, block, shared_bytes, static_cast<unsigned>(context.backend->device), body);
}
#else
template <typename... Parameters, typename... Arguments>
cudaError_t put(const ln_context& context, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                Arguments... arguments) {
  // Not the <<<...>>> of CUDA: formatters of C++ take it apart.
  std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  return std::apply(
      [&](Parameters&... value) {
        void* addresses[] = {const_cast<void*>(static_cast<const void*>(&value))...};
        return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, addresses, shared_bytes,
                                stream_of(context));
      },
      values);
}
#endif

/// Puts the kernel onto the context's stream; `name` for messages. Throws what the launch itself reports; a fault while
/// it runs shows at a later launch or at the next synchronisation. The emulator runs it at once.
template <typename... Parameters, typename... Arguments>
void launch(const ln_context& context, const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, Arguments... arguments) {
  remember(context);
#if defined(LN_EMULATED)
  if (!emulation_goes_on(context, name)) return;
  put(context, kernel, grid, block, shared_bytes, arguments...);
#else
  constexpr size_t kSharedWithoutAsking = 48 << 10;
  require(cudaSetDevice(context.backend->device), name);
  if (shared_bytes > kSharedWithoutAsking) {
    require(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
            name);
  }
  require(put(context, kernel, grid, block, shared_bytes, arguments...), name);
#endif
  mark(context);
}

/// Sets `bytes` of device memory to zero, in the order of the stream.
void clear(const ln_context& context, void* at, int64_t bytes);

constexpr uint64_t kNothing = ~uint64_t{0};
/// Prepares backend->notice: kernels lower it with atomicMin. Then read_notice waits for the stream and tells the
/// value. For what happens once, outside of training steps.
void reset_notice(const ln_context& context);
uint64_t read_notice(const ln_context& context);

}  // namespace cuda
}  // namespace ln
