// What a context has put onto its stream lately, to name after a fault. Kernels run after their call has returned, so
// what reports a fault is a later call; and a device that failed answers no more questions, those about events
// included. So a kernel of one thread writes, after every few others, how many there were into host memory, which stays
// readable: the fault is in one of the few after that. What that costs is one launch of some 2 us in 17.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../../native/abi/guard.hpp"

namespace ln::cuda {

class Launches {
 public:
  static constexpr int64_t kMarkEvery = 16;

  /// `one_by_one`: the driver waits for every kernel (CUDA_LAUNCH_BLOCKING), so each is marked.
  explicit Launches(bool one_by_one) : every_(one_by_one ? 1 : kMarkEvery), kept_(kKept) {}

  /// The kernel, or what stands for one, that is about to be launched for the call.
  void add(const Call& call) { kept_[static_cast<size_t>(count_++ % kKept)] = call; }
  int64_t count() const { return count_; }
  bool mark_is_due() const { return count_ % every_ == 0; }

  /// The calls of the launches after the first `done` that no mark has followed, see ln_unfinished.
  std::string unfinished(int64_t done) const;

 private:
  /// More than the driver lets wait in a stream (about a thousand).
  static constexpr int64_t kKept = 2048;

  int64_t every_;
  int64_t count_ = 0;
  std::vector<Call> kept_;
};

}  // namespace ln::cuda
