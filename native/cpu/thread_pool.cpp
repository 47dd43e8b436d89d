#include "thread_pool.hpp"

#include <chrono>

namespace ln::cpu {

namespace {

using Clock = std::chrono::steady_clock;

// How long a thread polls before it goes to sleep: longer than the gaps between the kernels of a step. To be woken
// takes 50 microseconds and more.
constexpr Clock::duration kPatience = std::chrono::microseconds(500);
constexpr int kPollsPerLook = 64;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Polls until ready() or out of patience. What it waits for may need this very processor: it gives way now and then.
template <typename Ready>
void poll(const Ready& ready) {
  if (ready()) return;
  const Clock::time_point end = Clock::now() + kPatience;
  do {
    for (int i = 0; i < kPollsPerLook; ++i) {
      if (ready()) return;
      pause();
    }
    std::this_thread::yield();
  } while (Clock::now() < end);
}

}  // namespace

ThreadPool::ThreadPool(int threads) : parts_(new Part[static_cast<size_t>(threads < 1 ? 1 : threads)]) {
  for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::dispatch(Call call, const void* context) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    call_ = call;
    context_ = context;
    round_.fetch_add(kNext | kOpen, std::memory_order_release);
  }
  wake_.notify_all();
  drain(0);
  // Every task is taken: who has not joined would find nothing, and may be waiting for a processor.
  const uint64_t closed = round_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  if ((closed & kMembers) == 0) return;
  const auto done = [this] { return (round_.load(std::memory_order_acquire) & kMembers) == 0; };
  poll(done);
  if (done()) return;
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, done);
}

void ThreadPool::drain(int worker) {
  for (int i = 0; i < threads(); ++i) {
    Part& part = parts_[(worker + i) % threads()];
    for (;;) {
      const int64_t task = part.next.fetch_add(1, std::memory_order_relaxed);
      if (task >= part.last) break;
      call_(context_, task, worker);
    }
  }
}

bool ThreadPool::join(uint64_t seen) {
  uint64_t round = round_.load(std::memory_order_relaxed);
  while ((round & kOpen) != 0 && round / kNext != seen) {
    if (round_.compare_exchange_weak(round, round + 1, std::memory_order_acq_rel)) return true;
  }
  return false;
}

void ThreadPool::work(int worker) {
  uint64_t seen = 0;
  for (;;) {
    const auto called = [&] {
      const uint64_t round = round_.load(std::memory_order_acquire);
      return stop_ || ((round & kOpen) != 0 && round / kNext != seen);
    };
    poll(called);
    if (!called()) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, called);
    }
    if (stop_) return;
    if (!join(seen)) continue;
    // Nobody opens the next round before this worker leaves.
    seen = round_.load(std::memory_order_relaxed) / kNext;
    drain(worker);
    const uint64_t left = round_.fetch_sub(1, std::memory_order_acq_rel) - 1;
    if ((left & (kOpen | kMembers)) == 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      done_.notify_one();
    }
  }
}

}  // namespace ln::cpu
