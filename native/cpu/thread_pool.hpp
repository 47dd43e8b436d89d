// A fixed team of threads that runs numbered tasks. Which thread runs a task is open; a task's result must not depend
// on it, so that results are the same bytes for every number of threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace ln::cpu {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(task, worker) for 0 <= task < tasks, worker in [0, threads()); returns when all are done. Not
  /// reentrant. The body must not throw. Tasks are claimed in rising order, so put the longest first.
  template <typename Body>
  void run(int64_t tasks, const Body& body) {
    start(tasks, [tasks](int worker) { return worker == 0 ? int64_t{0} : tasks; }, body);
  }

  /// As run, but every worker starts with a part of its own: first(worker) to first(worker + 1), rising from 0 to
  /// tasks. Who is done helps the others. Kernels that cut rows in the same way find in their caches what they wrote.
  template <typename First, typename Body>
  void run_apart(int64_t tasks, const First& first, const Body& body) {
    start(tasks, first, body);
  }

  /// Splits [0, count) into ranges of at most `grain` and calls body(first, last, worker) for each; every worker starts
  /// with an equal part of [0, count).
  template <typename Body>
  void ranges(int64_t count, int64_t grain, const Body& body) {
    const int64_t step = grain < 1 ? 1 : grain, tasks = (count + step - 1) / step;
    run_apart(
        tasks, [&](int worker) { return tasks * worker / threads(); },
        [&](int64_t task, int worker) {
          const int64_t first = task * step;
          body(first, first + step < count ? first + step : count, worker);
        });
  }

 private:
  using Call = void (*)(const void* context, int64_t task, int worker);

  /// The tasks that a worker starts with; a line of the cache each.
  struct alignas(64) Part {
    std::atomic<int64_t> next{0};
    int64_t last = 0;
  };

  template <typename First, typename Body>
  void start(int64_t tasks, const First& first, const Body& body) {
    if (tasks <= 0) return;
    if (tasks == 1 || workers_.empty()) {
      for (int64_t task = 0; task < tasks; ++task) body(task, 0);
      return;
    }
    // No worker looks at the parts between two dispatches.
    for (int worker = 0; worker < threads(); ++worker) {
      parts_[worker].next.store(first(worker), std::memory_order_relaxed);
      parts_[worker].last = worker + 1 < threads() ? first(worker + 1) : tasks;
    }
    using Plain = std::remove_reference_t<Body>;
    dispatch([](const void* context, int64_t task, int worker) { (*static_cast<const Plain*>(context))(task, worker); },
             &body);
  }

  // round_: how many workers are in the round, whether more may join, and the number of the round.
  static constexpr uint64_t kMembers = 0xffff, kOpen = 0x10000, kNext = 0x20000;

  void dispatch(Call call, const void* context);
  void work(int worker);
  /// Joins the open round unless its number is `seen`.
  bool join(uint64_t seen);
  void drain(int worker);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<uint64_t> round_{0};
  std::unique_ptr<Part[]> parts_;
  Call call_ = nullptr;
  const void* context_ = nullptr;
  std::atomic<bool> stop_{false};
};

}  // namespace ln::cpu
