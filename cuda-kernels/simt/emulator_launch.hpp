// Runs a grid: blocks are spread over OS threads (one under a sanitizer), the fibers of a block take turns in order or,
// with a schedule other than 0, in a new random order every round.
#pragma once

#include "emulator.hpp"

namespace simt {

/// Xorshift64: what a schedule's order is drawn from.
struct ScheduleRandom {
  uint64_t state;
  uint32_t operator()() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<uint32_t>(state >> 32);
  }
};

inline void prepare(Fiber& fiber) {
#ifdef SIMT_ASAN
  __asan_unpoison_memory_region(fiber.stack, kStackBytes);
#endif
  const uintptr_t top = (reinterpret_cast<uintptr_t>(fiber.stack) + kStackBytes) & ~uintptr_t{63};
  void** at = reinterpret_cast<void**>(top);
#if defined(__x86_64__)
  *--at = nullptr;
  *--at = reinterpret_cast<void*>(fiber_main);
  for (int i = 0; i < 6; ++i) *--at = nullptr;
#else
  at -= 22;
  std::memset(at, 0, 176);
  at[11] = reinterpret_cast<void*>(fiber_main);
#endif
  fiber.stack_pointer = at;
  fiber.done = false;
  fiber.asan_stack = nullptr;
  fiber.open_copies.clear();
  fiber.copy_groups.clear();
#ifdef SIMT_TSAN
  if (fiber.tsan_fiber == nullptr) fiber.tsan_fiber = __tsan_create_fiber(0);
#endif
}

inline void run_block(Block& block, ScheduleRandom* random) {
  release(&block);
  Quiet quiet;
  std::vector<unsigned> order(block.threads);
  for (unsigned i = 0; i < block.threads; ++i) order[i] = i;
  for (unsigned i = 0; i < block.threads; ++i) prepare(block.fibers[i]);
#ifdef SIMT_TSAN
  scheduler_tsan_fiber = __tsan_get_current_fiber();
#endif
  block.alive = block.threads;
  block.at_barrier = 0;
  for (Warp& warp : block.warps) warp = Warp();
  while (block.alive > 0) {
    const uint64_t before = block.progress;
    if (random != nullptr) {
      for (unsigned i = block.threads; --i > 0;) {
        std::swap(order[i], order[(*random)() * static_cast<uint64_t>(i + 1) >> 32]);
      }
    }
    for (unsigned i : order) {
      if (!block.fibers[i].done) to_fiber(&block.fibers[i]);
    }
    if (block.progress != before) continue;
    for (unsigned i = 0; i < block.threads; ++i) {
      const Fiber& fiber = block.fibers[i];
      if (fiber.done) continue;
      std::fprintf(stderr, "  stuck: block (%u,%u,%u) thread %u warp %u lane %u\n", block.index.x, block.index.y,
                   block.index.z, fiber.linear, fiber.warp, fiber.lane);
      break;
    }
    die("deadlock: not all threads reach a barrier or warp collective", block.at_barrier, block.alive);
  }
  acquire(reinterpret_cast<char*>(&block) + 1);
  current = nullptr;
}

/// The fibers of one OS thread and their stacks, for the largest block.
class FiberPool {
 public:
  static constexpr unsigned kFibers = 1024;

  FiberPool() : fibers_(kFibers) {
    stacks_ = static_cast<char*>(mmap(nullptr, kStackBytes * kFibers, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (stacks_ == MAP_FAILED) die("no memory for stacks");
    for (unsigned i = 0; i < kFibers; ++i) {
      fibers_[i].stack = stacks_ + kStackBytes * i;
      fibers_[i].linear = i;
      fibers_[i].lane = i % 32;
      fibers_[i].warp = i / 32;
    }
  }
  ~FiberPool() {
#ifdef SIMT_ASAN
    __asan_unpoison_memory_region(stacks_, kStackBytes * kFibers);
#endif
    munmap(stacks_, kStackBytes * kFibers);
  }
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;

  static FiberPool& of_this_thread() {
    static thread_local FiberPool pool;
    return pool;
  }
  Fiber* fibers() { return fibers_.data(); }

 private:
  std::vector<Fiber> fibers_;
  char* stacks_ = nullptr;
};

/// Runs blocks of one shape, one at a time.
class BlockRunner {
 public:
  BlockRunner(dim3 grid, dim3 dim, size_t shared_bytes, const std::function<void()>& body, unsigned schedule)
      : shared_bytes_(shared_bytes), shuffled_(schedule != 0), random_{schedule * 0x9E3779B97F4A7C15ull + 1} {
    block_.dim = dim;
    block_.grid = grid;
    block_.threads = dim.x * dim.y * dim.z;
    block_.fibers = FiberPool::of_this_thread().fibers();
    block_.warps.resize((block_.threads + 31) / 32);
    block_.body = &body;
    for (unsigned i = 0; i < block_.threads; ++i) {
      block_.fibers[i].index = dim3(i % dim.x, i / dim.x % dim.y, i / (dim.x * dim.y));
      block_.fibers[i].block = &block_;
    }
  }
  ~BlockRunner() {
#ifdef SIMT_TSAN
    // A new fiber for every launch: the clocks of old ones make every barrier slower and slower.
    for (unsigned i = 0; i < block_.threads; ++i) {
      if (block_.fibers[i].tsan_fiber != nullptr) __tsan_destroy_fiber(block_.fibers[i].tsan_fiber);
      block_.fibers[i].tsan_fiber = nullptr;
    }
#endif
  }
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;

  void run(dim3 index) {
    block_.index = index;
    const size_t padded = (shared_bytes_ + 1023) / 1024 * 1024;
    if (padded > 0) {
      block_.dynamic_shared = static_cast<unsigned char*>(std::aligned_alloc(1024, padded));
      std::memset(block_.dynamic_shared, 0xff, padded);  // NaN until written
#ifdef SIMT_ASAN
      if (padded > shared_bytes_)
        __asan_poison_memory_region(block_.dynamic_shared + shared_bytes_, padded - shared_bytes_);
#endif
    }
    run_block(block_, shuffled_ ? &random_ : nullptr);
#ifdef SIMT_ASAN
    if (padded > 0) __asan_unpoison_memory_region(block_.dynamic_shared, padded);
#endif
    std::free(block_.dynamic_shared);
    block_.dynamic_shared = nullptr;
  }

 private:
  Block block_;
  size_t shared_bytes_;
  bool shuffled_;
  ScheduleRandom random_;
};

/// `body` calls the kernel with its arguments. Returns when every block has run.
inline void launch(dim3 grid, dim3 dim, size_t shared_bytes, unsigned schedule, const std::function<void()>& body) {
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const unsigned threads = dim.x * dim.y * dim.z;
  if (threads == 0 || threads > 1024 || shared_bytes > 232448 || blocks == 0 || grid.x > 0x7fffffffu ||
      grid.y > 65535 || grid.z > 65535) {
    die("a launch beyond the limits of devices", threads, static_cast<unsigned>(shared_bytes));
  }
  // Threads are made for every launch, so a few blocks do not get one.
  constexpr uint64_t kBlocksPerWorker = 8;
  const uint64_t most = std::max(1u, std::thread::hardware_concurrency());
  unsigned workers =
      static_cast<unsigned>(std::min<uint64_t>(most, (blocks + kBlocksPerWorker - 1) / kBlocksPerWorker));
#if defined(SIMT_ASAN) || defined(SIMT_TSAN)
  workers = 1;
#endif
  std::atomic<uint64_t> next{0};
  const auto work = [&] {
    Quiet quiet;
    BlockRunner runner(grid, dim, shared_bytes, body, schedule);
    for (uint64_t k; (k = next++) < blocks;) {
      runner.run(dim3(static_cast<unsigned>(k % grid.x), static_cast<unsigned>(k / grid.x % grid.y),
                      static_cast<unsigned>(k / grid.x / grid.y)));
    }
  };
  if (workers == 1) return work();
  std::vector<std::thread> team;
  for (unsigned i = 0; i < workers; ++i) team.emplace_back(work);
  for (std::thread& worker : team) worker.join();
}

}  // namespace simt
