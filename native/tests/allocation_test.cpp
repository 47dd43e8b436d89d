// No op of the library takes memory from the heap when its context has the scratch that it asks for: a training step
// allocates nothing but what the caller does.
#include <atomic>
#include <fstream>
#include <memory>
#include <new>
#include <thread>

#include "every_op.hpp"
#include "thread_pool.hpp"

namespace ln::test {
namespace {

/// The functions of the header but those that make and describe a context.
std::set<std::string> declared_ops() {
  std::ifstream in(LN_TEST_DATA "/../../include/lora_native.h");
  const std::string before = "LN_API int32_t ";
  std::set<std::string> names;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(before, 0) == 0) names.insert(line.substr(before.size(), line.find('(') - before.size()));
  }
  for (const char* other :
       {"ln_abi_version", "ln_context_create", "ln_context_destroy", "ln_query", "ln_context_set_scratch"}) {
    EXPECT_EQ(1u, names.erase(other)) << other;
  }
  return names;
}

TEST(Allocation, IsCountedWhateverAsksForIt) {
  std::unique_ptr<int> one;
  std::unique_ptr<int[]> many, none;
  struct alignas(256) Line {
    char bytes[256];
  };
  std::unique_ptr<Line> aligned;
  CountedAllocations allocations;
  one = std::make_unique<int>(1);
  many = std::make_unique<int[]>(7);
  none.reset(new (std::nothrow) int[3]{});
  aligned = std::make_unique<Line>();
  EXPECT_EQ(4, allocations.stop());
  EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(aligned.get()) % 256);
  EXPECT_EQ(1, *one + many[6] + none[2]);
}

TEST(Allocation, IsCountedOnThreadsOfThePool) {
  std::unique_ptr<int> made[2];
  cpu::ThreadPool pool(2);
  std::atomic<int> arrived{0};
  CountedAllocations allocations;
  pool.run(2, [&](int64_t task, int worker) {
    for (++arrived; arrived < 2;) std::this_thread::yield();  // so that each thread has one of the tasks
    made[task] = std::make_unique<int>(worker);
  });
  EXPECT_EQ(2, allocations.stop());
  EXPECT_EQ(1, *made[0] + *made[1]);
}

TEST(Allocation, NoOpAllocates) {
  for (int32_t simd : tiers()) {
    for (int32_t threads : {1, 2}) {
      allocation::Ops ops(simd, threads);
      ops.run();
      EXPECT_EQ(declared_ops(), ops.called());
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace ln::test
