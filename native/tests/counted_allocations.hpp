// Counts what a program takes from the heap by operator new, on all its threads. Calls of malloc itself are not seen:
// no source of native/abi or native/cpu has one.
#pragma once

#include <atomic>
#include <cstdint>

namespace ln::test {

/// Counts from its making on; one at a time.
class CountedAllocations {
 public:
  CountedAllocations();
  ~CountedAllocations() { stop(); }
  CountedAllocations(const CountedAllocations&) = delete;
  CountedAllocations& operator=(const CountedAllocations&) = delete;

  /// How many there were.
  int64_t stop();
};

}  // namespace ln::test
