// The CUDA side of a context: device, stream, what products multiply in, and how kernels are launched. Compiled by nvcc
// for GPUs and by g++ for the emulator (LN_EMULATED), where "device memory" is host memory.
#pragma once

#include <string>
#include <tuple>

#include "../../native/abi/backend.hpp"
#include "../simt/simt.hpp"

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

/// Puts the kernel onto the context's stream; `name` for messages. Throws what the launch itself reports; a fault while
/// it runs shows at the next synchronisation. The emulator runs it at once.
template <typename... Parameters, typename... Arguments>
void launch(const ln_context& context, const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, Arguments... arguments) {
#if defined(LN_EMULATED)
  static_cast<void>(name);
  const std::function<void()> body = [&] { kernel(static_cast<Parameters>(arguments)...); };
  simt::launch(grid, block, shared_bytes, static_cast<unsigned>(context.backend->device), body);
#else
  constexpr size_t kSharedWithoutAsking = 48 << 10;
  require(cudaSetDevice(context.backend->device), name);
  if (shared_bytes > kSharedWithoutAsking) {
    require(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
            name);
  }
  // Not the <<<...>>> of CUDA: formatters of C++ take it apart.
  std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  std::apply(
      [&](Parameters&... value) {
        void* addresses[] = {const_cast<void*>(static_cast<const void*>(&value))...};
        require(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, addresses, shared_bytes,
                                 stream_of(context)),
                name);
      },
      values);
#endif
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
