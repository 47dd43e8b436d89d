// A libcuda.so.1 for tests on machines without a GPU: "device memory" is the host's, copies happen at once. With the
// emulated kernel library beside it, the whole way of a GPU run (JCuda, device, kernels, training) runs without one.
// Environment: FAKE_CUDA_DEVICES (1), FAKE_CUDA_CAPABILITY (90), FAKE_CUDA_VERSION (13000), FAKE_CUDA_MEGABYTES (4096),
// FAKE_CUDA_INIT (0: what cuInit returns), FAKE_CUDA_FAULT_AFTER (n: the n-th synchronisation reports a kernel fault),
// FAKE_CUDA_ALLOCATIONS and FAKE_CUDA_WAITS (files, which say after every cuMemAlloc, or every wait for the device, how
// many there were).
// Emulated kernels that fault (EMULATED_FAULT) say so through fake_cuda_fail.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

namespace {

constexpr int kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kInvalidDevice = 101, kIllegalAddress = 700;
constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;

long setting(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atol(text);
}

size_t total_bytes() { return static_cast<size_t>(setting("FAKE_CUDA_MEGABYTES", 4096)) << 20; }

std::mutex mutex;
size_t used_bytes = 0;
std::unordered_map<uint64_t, size_t> sizes;
long synchronisations = 0;
long allocations = 0;
std::atomic<long> waits{0};
std::atomic<int> failure{kSuccess};

/// Into the file that the environment variable names, if it does.
void tell(const char* variable, long count) {
  const char* path = std::getenv(variable);
  if (path == nullptr) return;
  if (FILE* file = std::fopen(path, "w")) {
    std::fprintf(file, "%ld", count);
    std::fclose(file);
  }
}

void count_wait() { tell("FAKE_CUDA_WAITS", ++waits); }

}  // namespace

#define FAKE extern "C" __attribute__((visibility("default"))) int

/// From now on nothing works, as after the fault of a kernel.
extern "C" __attribute__((visibility("default"))) void fake_cuda_fail(int status) { failure = status; }

FAKE cuInit(unsigned) { return static_cast<int>(setting("FAKE_CUDA_INIT", kSuccess)); }
FAKE cuDriverGetVersion(int* version) {
  *version = static_cast<int>(setting("FAKE_CUDA_VERSION", 13000));
  return kSuccess;
}
FAKE cuDeviceGetCount(int* count) {
  *count = static_cast<int>(setting("FAKE_CUDA_DEVICES", 1));
  return kSuccess;
}
FAKE cuDeviceGet(int* device, int number) {
  if (number < 0 || number >= setting("FAKE_CUDA_DEVICES", 1)) return kInvalidDevice;
  *device = number;
  return kSuccess;
}
FAKE cuDeviceGetName(char* name, int length, int) {
  std::snprintf(name, static_cast<size_t>(length), "Fake GPU");
  return kSuccess;
}
FAKE cuDeviceGetAttribute(int* value, int attribute, int) {
  const long capability = setting("FAKE_CUDA_CAPABILITY", 90);
  *value = static_cast<int>(attribute == kCapabilityMajor   ? capability / 10
                            : attribute == kCapabilityMinor ? capability % 10
                                                            : 0);
  return kSuccess;
}
FAKE cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = total_bytes();
  return kSuccess;
}
FAKE cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &used_bytes;
  return kSuccess;
}
FAKE cuDevicePrimaryCtxRelease_v2(int) { return kSuccess; }
FAKE cuCtxSetCurrent(void*) { return kSuccess; }

FAKE cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (bytes == 0) return kInvalidValue;
  if (bytes > total_bytes() - used_bytes) return kOutOfMemory;
  void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (memory == nullptr) return kOutOfMemory;
  std::memset(memory, 0xff, bytes);  // NaN until written
  *address = reinterpret_cast<uint64_t>(memory);
  sizes[*address] = bytes;
  used_bytes += bytes;
  tell("FAKE_CUDA_ALLOCATIONS", ++allocations);
  return kSuccess;
}
FAKE cuMemFree_v2(uint64_t address) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = sizes.find(address);
  if (found == sizes.end()) return kInvalidValue;
  used_bytes -= found->second;
  sizes.erase(found);
  std::free(reinterpret_cast<void*>(address));
  return kSuccess;
}
FAKE cuMemGetInfo_v2(size_t* free, size_t* total) {
  const std::lock_guard<std::mutex> lock(mutex);
  *total = total_bytes();
  *free = *total - used_bytes;
  return kSuccess;
}
FAKE cuMemAllocHost_v2(void** memory, size_t bytes) {
  *memory = std::malloc(bytes);
  return *memory == nullptr ? kOutOfMemory : kSuccess;
}
FAKE cuMemFreeHost(void* memory) {
  std::free(memory);
  return kSuccess;
}
FAKE cuMemcpyHtoDAsync_v2(uint64_t target, const void* source, size_t bytes, void*) {
  std::memcpy(reinterpret_cast<void*>(target), source, bytes);
  return failure;
}
FAKE cuMemcpyDtoHAsync_v2(void* target, uint64_t source, size_t bytes, void*) {
  std::memcpy(target, reinterpret_cast<const void*>(source), bytes);
  return failure;
}
FAKE cuMemsetD8Async(uint64_t target, unsigned char value, size_t bytes, void*) {
  std::memset(reinterpret_cast<void*>(target), value, bytes);
  return failure;
}

FAKE cuStreamCreate(void** stream, unsigned) {
  *stream = std::malloc(1);
  return kSuccess;
}
FAKE cuStreamDestroy_v2(void* stream) {
  std::free(stream);
  return kSuccess;
}
FAKE cuStreamSynchronize(void*) {
  count_wait();
  const long fault = setting("FAKE_CUDA_FAULT_AFTER", 0);
  return fault > 0 && ++synchronisations >= fault ? kIllegalAddress : static_cast<int>(failure);
}
FAKE cuEventCreate(void** event, unsigned) {
  *event = std::malloc(1);
  return kSuccess;
}
FAKE cuEventRecord(void*, void*) { return kSuccess; }
FAKE cuEventSynchronize(void*) {
  count_wait();
  return failure;
}
FAKE cuEventDestroy_v2(void* event) {
  std::free(event);
  return kSuccess;
}
