// How the kernels of liblora_native_cuda are timed: contexts, repetitions, the ceilings that times are held against,
// and weights to multiply by.
#pragma once

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>

#include "../tests/smallest/device_memory.hpp"
#include "../tests/smallest/scratch.hpp"
#include "lora_native.h"

namespace ln::speeds {

using smallest::Memory;
using smallest::Scratch;

inline int repetitions = 30;

inline void require(int32_t status, ln_context* context) {
  if (status != LN_OK) smallest::fail(ln_last_error(context));
}

struct Context {
  ln_context* handle = nullptr;
  bool exists = false;

  explicit Context(int32_t gemm) {
    ln_context_options options = {};
    options.gemm = gemm;
    exists = ln_context_create(&options, &handle) == LN_OK;
  }
  ~Context() {
    if (exists) ln_context_destroy(handle);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

#if defined(LN_EMULATED)
inline double seconds_of(const std::function<void()>& run) {
  run();
  return 1;
}
#else
/// The median of single runs: events on the default stream, the first runs not counted.
inline double seconds_of(const std::function<void()>& run) {
  cudaEvent_t start, end;
  smallest::require(cudaEventCreate(&start));
  smallest::require(cudaEventCreate(&end));
  std::vector<float> times;
  for (int i = 0; i < repetitions + repetitions / 5; ++i) {
    smallest::require(cudaEventRecord(start));
    run();
    smallest::require(cudaEventRecord(end));
    smallest::require(cudaEventSynchronize(end));
    float milliseconds = 0;
    smallest::require(cudaEventElapsedTime(&milliseconds, start, end));
    if (i >= repetitions / 5) times.push_back(milliseconds);
  }
  cudaEventDestroy(start);
  cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2] * 1e-3;
}
#endif

inline double copy_ceiling = 0;     // bytes/s, read and written
inline double product_ceiling = 0;  // FLOP/s of a large bfloat16 product by cuBLAS; 0 where there is no cuBLAS

/// flops and bytes of one run: what it must compute and move; 0: of no interest.
inline void report(const std::string& name, double seconds, double flops, double bytes) {
  std::printf("%-52s %10.1f us", name.c_str(), seconds * 1e6);
  if (flops > 0) std::printf("  %8.1f TFLOP/s", flops / seconds * 1e-12);
  if (flops > 0 && product_ceiling > 0) std::printf("  %5.1f %% of cuBLAS", 100 * flops / seconds / product_ceiling);
  if (bytes > 0) std::printf("  %8.0f GB/s", bytes / seconds * 1e-9);
  if (bytes > 0 && copy_ceiling > 0) std::printf("  %5.1f %% of copying", 100 * bytes / seconds / copy_ceiling);
  std::printf("\n");
  std::fflush(stdout);
}

/// Random codes without double quantisation; `elements` a multiple of 64.
inline const ln_quantized* nf4(Memory& memory, int64_t elements) {
  ln_quantized weight = {};
  weight.codes = memory.of(std::vector<uint8_t>(static_cast<size_t>(elements / 2), 0x5a));
  weight.absmax = memory.of(std::vector<float>(static_cast<size_t>(elements / 64), 0.02f));
  weight.elements = elements;
  weight.block = 64;
  return memory.table(std::vector<ln_quantized>{weight});
}

inline const uint16_t* bf16(Memory& memory, int64_t elements) {
  return memory.of(std::vector<uint16_t>(static_cast<size_t>(elements), 0x3c24));  // 0.01
}

}  // namespace ln::speeds
