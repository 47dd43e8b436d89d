// Proves the checker: two small kernels with the mistakes that CUDA kernels have, one at a time. ctest runs this
// program with each and expects what the emulator or a sanitizer must say (emulated/CMakeLists.txt).
//   planted_bugs BUG SCHEDULE
// Prints "right" where the result is what plain arithmetic gives, "wrong" where not.
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "../../simt/simt.hpp"

namespace {

enum class Bug {
  kNone,
  kMissingBarrier,    // the partial sums are read before all warps wrote them
  kDivergentBarrier,  // a barrier that half of the threads pass by
  kPastTheEnd,        // one element too many is written to global memory
  kEarlyRead,         // cp.async: read while the copy is in flight
  kReusedTooEarly,    // a shared buffer is filled again while other warps still read it
  kOtherCollective,   // lanes of a warp meet in different collectives
  kInactiveLane,      // a shuffle reads a lane outside the mask
  kMisaligned         // a 16-byte access at 4 bytes
};

constexpr int kThreads = 128;
constexpr int kTile = kThreads * 4;

/// y = x / sqrt(sum(x^2)), one block.
template <Bug bug>
__global__ void normalise(const float* x, float* y, int n) {
  __shared__ float partial[kThreads / 32];
  const int thread = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int i = thread; i < n; i += kThreads) sum += x[i] * x[i];
  if (bug == Bug::kOtherCollective && thread % 2 == 0) {
    sum += __shfl_down_sync(~0u, sum, 1);
  } else {
    const unsigned mask = bug == Bug::kInactiveLane ? 1u << thread % 32 : ~0u;
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(mask, sum, lanes);
  }
  if (thread % 32 == 0) partial[thread / 32] = sum;
  if (bug == Bug::kDivergentBarrier) {
    if (thread < kThreads / 2) __syncthreads();
  } else if (bug != Bug::kMissingBarrier) {
    __syncthreads();
  }
  float total = 0;
  for (int w = 0; w < kThreads / 32; ++w) total += partial[w];
  const int end = bug == Bug::kPastTheEnd ? n + 1 : n;
  for (int i = thread; i < end; i += kThreads) y[i] = x[i < n ? i : 0] * rsqrtf(total);
}

/// y = twice x, tile by tile through shared memory; a thread reads what another one's copy brought.
template <Bug bug>
__global__ void doubled(const float* x, float* y, int tiles) {
  SIMT_DYN_SMEM(float, tile);
  const int thread = static_cast<int>(threadIdx.x);
  for (int t = 0; t < tiles; ++t) {
    const int shift = bug == Bug::kMisaligned ? 1 : 0;
    if (bug == Bug::kMisaligned) {
      *reinterpret_cast<uint4*>(tile + thread * 4 + shift) =
          *reinterpret_cast<const uint4*>(x + t * kTile + thread * 4);
    } else {
      simt::cp_async16(tile + thread * 4, x + t * kTile + thread * 4);
    }
    simt::cp_async_commit();
    if (bug != Bug::kEarlyRead) simt::cp_async_wait<0>();
    __syncthreads();
    for (int i = 0; i < 4; ++i) y[t * kTile + i * kThreads + thread] = 2 * tile[shift + i * kThreads + thread];
    if (bug == Bug::kEarlyRead) simt::cp_async_wait<0>();
    if (bug != Bug::kReusedTooEarly) __syncthreads();
  }
}

template <Bug bug>
bool normalise_is_right(unsigned schedule) {
  constexpr int n = 1000;
  std::vector<float> x(n), y(n);
  double squares = 0;
  for (int i = 0; i < n; ++i) {
    x[i] = static_cast<float>(i % 7) - 2.5f;
    squares += static_cast<double>(x[i]) * x[i];
  }
  simt::launch(1, kThreads, 0, schedule, [&] { normalise<bug>(x.data(), y.data(), n); });
  for (int i = 0; i < n; ++i) {
    if (!(std::abs(y[i] - x[i] / std::sqrt(squares)) < 1e-5)) return false;
  }
  return true;
}

template <Bug bug>
bool doubled_is_right(unsigned schedule) {
  constexpr int tiles = 5;
  std::vector<float> x(kTile * tiles), y(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  simt::launch(1, kThreads, (kTile + 4) * sizeof(float), schedule, [&] { doubled<bug>(x.data(), y.data(), tiles); });
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(y[i] == 2 * x[i])) return false;
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  const std::map<std::string, bool (*)(unsigned)> bugs = {
      {"none-normalise", normalise_is_right<Bug::kNone>},
      {"none-doubled", doubled_is_right<Bug::kNone>},
      {"missing-barrier", normalise_is_right<Bug::kMissingBarrier>},
      {"divergent-barrier", normalise_is_right<Bug::kDivergentBarrier>},
      {"past-the-end", normalise_is_right<Bug::kPastTheEnd>},
      {"other-collective", normalise_is_right<Bug::kOtherCollective>},
      {"inactive-lane", normalise_is_right<Bug::kInactiveLane>},
      {"early-read", doubled_is_right<Bug::kEarlyRead>},
      {"reused-too-early", doubled_is_right<Bug::kReusedTooEarly>},
      {"misaligned", doubled_is_right<Bug::kMisaligned>},
  };
  if (count != 3 || bugs.count(arguments[1]) == 0) {
    std::fprintf(stderr, "usage: planted_bugs BUG SCHEDULE\n");
    return 2;
  }
  // The emulator aborts; ctest would take that for a crash of its own.
  std::signal(SIGABRT, [](int) { _exit(3); });
  const bool right = bugs.at(arguments[1])(static_cast<unsigned>(std::atoi(arguments[2])));
  std::puts(right ? "right" : "wrong");
  return right ? 0 : 1;
}
