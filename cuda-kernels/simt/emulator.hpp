// CUDA threads as fibers of one OS thread: the state of a block, the switch between fibers, barriers and warp
// rendezvous. What it finds: barriers and collectives that not all threads reach, results that depend on the order of
// threads (shuffled schedules), out-of-bounds and misaligned accesses (ASan, UBSan), races (TSan through its fiber
// interface, where only barriers and __syncwarp order memory).
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SIMT_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
extern "C" {
void __tsan_acquire(void*);
void __tsan_release(void*);
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#define SIMT_TSAN 1
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#define SIMT_CONSTANT static const
#if defined(SIMT_ASAN) || defined(SIMT_TSAN)
#define __shared__ static  // real globals with redzones; blocks run one after another
#else
#define __shared__ static thread_local  // one block per OS thread at a time
#endif
#define SIMT_DYN_SMEM(T, name) T* name = reinterpret_cast<T*>(::simt::current->block->dynamic_shared)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_in = 1, unsigned y_in = 1, unsigned z_in = 1) : x(x_in), y(y_in), z(z_in) {}
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

namespace simt {

[[noreturn]] inline void die(const char* what, unsigned a = 0, unsigned b = 0) {
  std::fprintf(stderr, "SIMT ERROR: %s (%u %u)\n", what, a, b);
  std::fflush(stderr);
  std::abort();
}

struct Block;

struct Fiber {
  void* stack_pointer = nullptr;
  dim3 index;
  unsigned linear = 0, lane = 0, warp = 0;
  bool done = false;
  Block* block = nullptr;
  char* stack = nullptr;
  void* asan_stack = nullptr;
  void* tsan_fiber = nullptr;
  /// cp.async: read at issue, written at the wait.
  struct Copy {
    void* target;
    uint4 value;
  };
  std::vector<Copy> open_copies;
  std::deque<std::vector<Copy>> copy_groups;
};

/// Meeting place of a warp: lanes leave their arguments, the last to arrive performs the operation for all.
struct Warp {
  unsigned mask = 0, arrived = 0, generation = 0;
  int operation = -1;
  void* arguments[32];
  char
      order[2];  // what TSan orders memory by: even and odd meetings, so that an early bird does not order the last one
};

struct Block {
  dim3 index, dim, grid;
  Fiber* fibers = nullptr;  // [threads], of the OS thread's FiberPool
  std::vector<Warp> warps;
  unsigned threads = 0, alive = 0, at_barrier = 0, barrier_generation = 0;
  int reduced = 0, reduced_result = 0;
  unsigned char* dynamic_shared = nullptr;
  const std::function<void()>* body = nullptr;
  uint64_t progress = 0;
  char order[2];  // as in Warp, for barriers
};

inline thread_local Fiber* current = nullptr;
inline thread_local void* scheduler_stack_pointer = nullptr;
inline thread_local void* scheduler_asan_stack = nullptr;
inline thread_local void* scheduler_tsan_fiber = nullptr;
inline thread_local const void* scheduler_bottom = nullptr;
inline thread_local size_t scheduler_size = 0;

#if defined(SIMT_ASAN) || defined(SIMT_TSAN)
constexpr size_t kStackBytes = 256 << 10;
#else
constexpr size_t kStackBytes = 64 << 10;
#endif

extern "C" void simt_switch(void** from, void* to);
#if defined(__x86_64__)
asm(R"(.text
.weak simt_switch
.hidden simt_switch
.type simt_switch,@function
simt_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi); movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size simt_switch,.-simt_switch
)");
#elif defined(__aarch64__)
asm(R"(.text
.weak simt_switch
.hidden simt_switch
.type simt_switch,%function
simt_switch:
  sub sp,sp,#176
  stp x19,x20,[sp]; stp x21,x22,[sp,#16]; stp x23,x24,[sp,#32]; stp x25,x26,[sp,#48]; stp x27,x28,[sp,#64]; stp x29,x30,[sp,#80]
  stp d8,d9,[sp,#96]; stp d10,d11,[sp,#112]; stp d12,d13,[sp,#128]; stp d14,d15,[sp,#144]
  mov x9,sp; str x9,[x0]; mov sp,x1
  ldp x19,x20,[sp]; ldp x21,x22,[sp,#16]; ldp x23,x24,[sp,#32]; ldp x25,x26,[sp,#48]; ldp x27,x28,[sp,#64]; ldp x29,x30,[sp,#80]
  ldp d8,d9,[sp,#96]; ldp d10,d11,[sp,#112]; ldp d12,d13,[sp,#128]; ldp d14,d15,[sp,#144]
  add sp,sp,#176
  ret
)");
#else
#error "add a context switch for this processor"
#endif

inline void to_scheduler(bool dying = false) {
  Fiber* self = current;
  static_cast<void>(dying);
#ifdef SIMT_TSAN
  __tsan_switch_to_fiber(scheduler_tsan_fiber, 1 /* orders no memory */);
#endif
#ifdef SIMT_ASAN
  __sanitizer_start_switch_fiber(dying ? nullptr : &self->asan_stack, scheduler_bottom, scheduler_size);
#endif
  simt_switch(&self->stack_pointer, scheduler_stack_pointer);
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(self->asan_stack, &scheduler_bottom, &scheduler_size);
#endif
}

inline void to_fiber(Fiber* fiber) {
  current = fiber;
#ifdef SIMT_TSAN
  __tsan_switch_to_fiber(fiber->tsan_fiber, 1);
#endif
#ifdef SIMT_ASAN
  __sanitizer_start_switch_fiber(&scheduler_asan_stack, fiber->stack, kStackBytes);
#endif
  simt_switch(&scheduler_stack_pointer, fiber->stack_pointer);
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(scheduler_asan_stack, nullptr, nullptr);
#endif
}

/// Hides the emulator's own reads and writes from TSan: they are not the kernel's.
struct Quiet {
#ifdef SIMT_TSAN
  Quiet() {
    AnnotateIgnoreReadsBegin("", 0);
    AnnotateIgnoreWritesBegin("", 0);
  }
  ~Quiet() {
    AnnotateIgnoreWritesEnd("", 0);
    AnnotateIgnoreReadsEnd("", 0);
  }
#else
  Quiet() {}
#endif
};

inline void acquire([[maybe_unused]] void* at) {
#ifdef SIMT_TSAN
  __tsan_acquire(at);
#endif
}
inline void release([[maybe_unused]] void* at) {
#ifdef SIMT_TSAN
  __tsan_release(at);
#endif
}

inline void fiber_main() {
  Fiber* self = current;
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size);
#endif
  acquire(self->block);  // the launch comes before every thread
  (*self->block->body)();
  {
    Quiet quiet;
    if (!self->open_copies.empty() || !self->copy_groups.empty())
      die("thread ends with cp.async in flight", self->linear);
    release(reinterpret_cast<char*>(self->block) + 1);
    self->done = true;
    self->block->alive--;
    self->block->progress++;
  }
  to_scheduler(true);
  die("a finished thread was resumed");
}

template <class Predicate>
void wait_until(Predicate predicate) {
  while (!predicate()) to_scheduler();
  current->block->progress++;
}

enum class Reduce { kNone, kAnd, kOr, kCount };

/// A thread that has returned never arrives: a barrier after it is reported as a deadlock.
inline int block_barrier(int value, Reduce reduce) {
  Quiet quiet;
  Block* block = current->block;
  const unsigned generation = block->barrier_generation;
  release(&block->order[generation % 2]);
  if (block->at_barrier == 0) block->reduced = reduce == Reduce::kAnd;
  if (reduce == Reduce::kAnd) block->reduced &= value != 0;
  if (reduce == Reduce::kOr) block->reduced |= value != 0;
  if (reduce == Reduce::kCount) block->reduced += value != 0;
  block->progress++;
  if (++block->at_barrier == block->threads) {
    block->at_barrier = 0;
    block->reduced_result = block->reduced;
    block->barrier_generation++;
  } else {
    wait_until([&] { return block->barrier_generation != generation; });
  }
  acquire(&block->order[generation % 2]);
  return block->reduced_result;
}

constexpr int kSyncWarp = 1;

/// All lanes of `mask` must come with the same operation; the last one runs `perform(arguments, mask)` for all.
template <class Perform>
void warp_meeting(int operation, unsigned mask, void* argument, Perform perform) {
  Quiet quiet;
  Block* block = current->block;
  Warp& warp = block->warps[current->warp];
  const unsigned self = 1u << current->lane;
  if ((mask & self) == 0) die("a lane is not in its own mask", current->linear, mask);
  if (warp.arrived == 0) {
    warp.operation = operation;
    warp.mask = mask;
  } else if (warp.operation != operation || warp.mask != mask) {
    die("lanes of a warp meet in different collectives or masks", current->linear, mask);
  }
  warp.arguments[current->lane] = argument;
  warp.arrived |= self;
  const unsigned generation = warp.generation;
  block->progress++;
  if (operation == kSyncWarp) release(&warp.order[generation % 2]);  // only __syncwarp orders memory
  const unsigned threads_here = std::min(32u, block->threads - current->warp * 32);
  const unsigned present = threads_here == 32 ? ~0u : (1u << threads_here) - 1;
  if (warp.arrived == (mask & present)) {
    perform(warp.arguments, mask & present);
    warp.arrived = 0;
    warp.generation++;
  } else {
    wait_until([&] { return warp.generation != generation; });
  }
  if (operation == kSyncWarp) acquire(&warp.order[generation % 2]);
}

}  // namespace simt

#define threadIdx (::simt::current->index)
#define blockIdx (::simt::current->block->index)
#define blockDim (::simt::current->block->dim)
#define gridDim (::simt::current->block->grid)
