// What every native test uses: contexts of all tiers and thread counts, random data, buffers that end at a guard page,
// comparison.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "lora_native.h"

namespace ln::test {

// What is under test: the CPU library (on_cpu.cpp), or the emulated CUDA kernels, whose program links the same objects
// with cuda-kernels/tests/on_emulator.cpp.
extern const bool kCpu;
/// The SIMD tiers that this machine can run, the reference first; of the emulator the schedules of its threads.
std::vector<int32_t> tiers();
const char* simd_name(int32_t tier);
/// Products in float32 unless told otherwise.
ln_context_options options_of(int32_t tier, int32_t threads, int32_t precision = LN_PRECISION_F32);

/// Owns a context and its scratch.
class Context {
 public:
  explicit Context(int32_t simd = LN_SIMD_AUTO, int32_t threads = 1) : Context(options_of(simd, threads)) {}
  explicit Context(const ln_context_options& options) {
    const int32_t status = ln_context_create(&options, &context_);
    if (status != LN_OK) throw std::string(ln_last_error(nullptr));
  }
  ~Context() {
    ln_context_destroy(context_);
    std::free(scratch_);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  operator ln_context*() const { return context_; }
  std::string error() const { return ln_last_error(context_); }

  /// Gives the op exactly the scratch that it asks for.
  template <typename Args>
  void reserve(int32_t op, const Args& args) {
    int64_t bytes = 0;
    ASSERT_EQ(LN_OK, ln_scratch_bytes(context_, op, &args, &bytes)) << error();
    std::free(scratch_);
    scratch_ = nullptr;
    if (bytes > 0) scratch_ = std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64));
    ASSERT_EQ(LN_OK, ln_context_set_scratch(context_, scratch_, bytes)) << error();
  }

 private:
  ln_context* context_ = nullptr;
  void* scratch_ = nullptr;
};

/// Counter-based random numbers (SplitMix64), the same on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  /// Uniform in [-1, 1).
  float uniform() { return static_cast<float>(static_cast<double>(next() >> 11) * 0x1p-52 - 1.0); }
  int64_t below(int64_t bound) { return static_cast<int64_t>(next() % static_cast<uint64_t>(bound)); }

 private:
  uint64_t state_;
};

/// An array whose last byte is the last one before an inaccessible page: reading or writing past the end is a fault at
/// once.
template <typename T>
class Guarded {
 public:
  explicit Guarded(int64_t count) : count_(count) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    const size_t pages = (bytes + page - 1) / page + 1;
    mapped_ = pages * page;
    base_ = static_cast<char*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    mprotect(base_ + (pages - 1) * page, page, PROT_NONE);
    data_ = reinterpret_cast<T*>(base_ + (pages - 1) * page - bytes);
  }
  Guarded(int64_t count, Random& random) : Guarded(count) {
    for (int64_t i = 0; i < count; ++i) data_[i] = static_cast<T>(random.uniform());
  }
  Guarded(Guarded&& other) noexcept
      : base_(other.base_), data_(other.data_), count_(other.count_), mapped_(other.mapped_) {
    other.base_ = nullptr;
  }
  Guarded(const Guarded& other) : Guarded(other.count_) {
    std::memcpy(data_, other.data_, static_cast<size_t>(count_) * sizeof(T));
  }
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() {
    if (base_ != nullptr) munmap(base_, mapped_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return count_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }
  operator T*() { return data_; }
  operator const T*() const { return data_; }

 private:
  char* base_ = nullptr;
  T* data_ = nullptr;
  int64_t count_ = 0;
  size_t mapped_ = 0;
};

/// |actual - expected| <= tolerance * scale for every element, scale being the largest expected magnitude (at least
/// `floor`). The oracle is computed in double; a product over k terms has an error of about sqrt(k) * 2^-24 of that
/// scale.
template <typename Actual, typename Expected>
void expect_close(const Actual& actual, const Expected& expected, int64_t count, double tolerance,
                  const std::string& what, double floor = 1e-30) {
  double scale = floor;
  for (int64_t i = 0; i < count; ++i) scale = std::max(scale, std::abs(static_cast<double>(expected[i])));
  for (int64_t i = 0; i < count; ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i]));
    if (!(difference <= tolerance * scale)) {
      FAIL() << what << ": element " << i << " of " << count << " is " << actual[i] << ", expected " << expected[i]
             << " (difference " << difference << ", allowed " << tolerance * scale << ")";
    }
  }
}

/// Same bytes.
template <typename T>
void expect_identical(const T* actual, const T* expected, int64_t count, const std::string& what) {
  for (int64_t i = 0; i < count; ++i) {
    if (std::memcmp(actual + i, expected + i, sizeof(T)) != 0) {
      FAIL() << what << ": element " << i << " of " << count << " is " << actual[i] << ", expected the same bytes as "
             << expected[i];
    }
  }
}

}  // namespace ln::test
