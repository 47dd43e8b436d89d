// Memory of the device that the kernels run on, for a program that is compiled for a GPU and for the emulator: on a GPU
// cudaMalloc and copies, in the emulator exact-size blocks of the heap, where ASan and TSan watch them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#if !defined(LN_EMULATED)
#include <cuda_runtime.h>
#endif

namespace ln::smallest {

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "smallest_shapes: %s\n", what);
  std::exit(1);
}

#if defined(LN_EMULATED)
inline void* allocate(size_t bytes) {
  void* at = nullptr;  // aligned_alloc would want a multiple of 64, and reading past the end were not seen
  return posix_memalign(&at, 64, bytes) == 0 ? at : nullptr;
}
inline void release(void* at) { std::free(at); }
inline void to_device(void* target, const void* source, size_t bytes) { std::memcpy(target, source, bytes); }
inline void to_host(void* target, const void* source, size_t bytes) { std::memcpy(target, source, bytes); }
inline void wait() {}
#else
inline void require(cudaError_t status) {
  if (status != cudaSuccess) fail(cudaGetErrorString(status));
}
inline void* allocate(size_t bytes) {
  void* at = nullptr;
  require(cudaMalloc(&at, bytes));
  return at;
}
inline void release(void* at) { cudaFree(at); }
inline void to_device(void* target, const void* source, size_t bytes) {
  require(cudaMemcpy(target, source, bytes, cudaMemcpyHostToDevice));
}
inline void to_host(void* target, const void* source, size_t bytes) {
  require(cudaMemcpy(target, source, bytes, cudaMemcpyDeviceToHost));
}
inline void wait() { require(cudaDeviceSynchronize()); }
#endif

/// The arrays of one case: made with values, read back in the order in which they were made.
class Memory {
 public:
  ~Memory() {
    for (const Array& array : arrays_) release(array.at);
  }
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  template <typename T>
  T* of(const std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    void* at = allocate(bytes);
    to_device(at, values.data(), bytes);
    arrays_.push_back({at, bytes});
    return static_cast<T*>(at);
  }
  /// As of(), for what holds addresses: not read back, because they differ from run to run.
  template <typename T>
  T* table(const std::vector<T>& values) {
    T* at = of(values);
    arrays_.back().bytes = 0;
    return at;
  }
  /// Values in [-1, 1), different for every array.
  float* random(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      value = static_cast<float>(static_cast<int32_t>(state_ >> 32)) * 0x1p-31f;
    }
    return of(values);
  }
  float* zeros(int64_t count) { return of(std::vector<float>(static_cast<size_t>(count))); }
  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> all;
    for (const Array& array : arrays_) {
      const size_t before = all.size();
      all.resize(before + array.bytes);
      to_host(all.data() + before, array.at, array.bytes);
    }
    return all;
  }

 private:
  struct Array {
    void* at;
    size_t bytes;
  };
  std::vector<Array> arrays_;
  uint64_t state_ = 1;
};

}  // namespace ln::smallest
