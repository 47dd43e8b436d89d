// The team of threads by itself: a program of its own, which ThreadSanitizer checks too.
#include "thread_pool.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace ln::cpu {

namespace {

/// How often each task of `rounds` calls ran; plain numbers, so that a lost hand-over is a race.
std::vector<int> runs(ThreadPool& pool, int rounds, int64_t tasks, std::chrono::microseconds between = {}) {
  std::vector<int> ran(static_cast<size_t>(tasks));
  for (int round = 0; round < rounds; ++round) {
    pool.run(tasks, [&](int64_t task, int) { ++ran[static_cast<size_t>(task)]; });
    if (between.count() > 0) std::this_thread::sleep_for(between);
  }
  return ran;
}

}  // namespace

TEST(ThreadPool, RunsEveryTaskOnceInEveryRound) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (int64_t tasks : {1, 2, 3, 17}) {
      EXPECT_EQ(std::vector<int>(static_cast<size_t>(tasks), 2000), runs(pool, 2000, tasks))
          << threads << " threads, " << tasks << " tasks";
    }
  }
}

TEST(ThreadPool, WakesThreadsThatWentToSleep) {
  ThreadPool pool(3);
  EXPECT_EQ(std::vector<int>(5, 20), runs(pool, 20, 5, std::chrono::milliseconds(3)));
}

TEST(ThreadPool, WaitsForTasksThatOthersAreAt) {
  ThreadPool pool(3);
  std::atomic<int> workers{0};
  for (int round = 0; round < 20; ++round) {
    int64_t ends[3] = {};
    pool.run(3, [&](int64_t task, int worker) {
      if (worker > 0) ++workers;
      std::this_thread::sleep_for(std::chrono::milliseconds(2 + task));
      ends[task] = round + 1;
    });
    for (int64_t end : ends) EXPECT_EQ(round + 1, end);
  }
  EXPECT_GT(workers, 0) << "the thread that calls did everything itself";
}

TEST(ThreadPool, StartsEveryThreadInItsOwnPart) {
  ThreadPool pool(2);
  std::atomic<int> started{0};
  int by[8] = {};
  // Whoever comes first waits for the other one, so that neither takes tasks of the other's part.
  pool.run_apart(
      8, [](int worker) { return int64_t{4} * worker; },
      [&](int64_t task, int worker) {
        if (task % 4 == 0) {
          ++started;
          while (started < 2) std::this_thread::yield();
        }
        by[task] = worker;
      });
  EXPECT_EQ(0, by[0]);
  EXPECT_EQ(1, by[4]);
}

TEST(ThreadPool, DoesNotWaitForAThreadThatHasNotCome) {
  // Far more threads than processors: most come when everything is done.
  ThreadPool pool(64);
  EXPECT_EQ(std::vector<int>(2, 500), runs(pool, 500, 2));
}

TEST(ThreadPool, EndsAtOnceWithoutWork) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(4);
    if (i % 2 == 1) runs(pool, 1, 4);
  }
}

}  // namespace ln::cpu
