// Every op once, at shapes of a tile and a bit: what race checkers can afford. In CI it runs on the emulated library
// under ThreadSanitizer and AddressSanitizer; on a machine with a GPU under compute-sanitizer (benchmarks/gpu/run.sh).
// Each case runs twice (the emulator: with another schedule) and must leave the same bytes; what the bytes should be is
// checked by the tests of the ops.
//   smallest_shapes [PART_OF_A_NAME]
#include <functional>
#include <string>

#include "cases.hpp"
#include "device_memory.hpp"
#include "lora_native.h"

namespace ln::smallest {

namespace {

struct Outcome {
  int32_t status = LN_OK;
  std::string error;
  std::vector<uint8_t> bytes;
};

Outcome run(const Case& tested, int32_t device, int32_t precision) {
  ln_context_options options = {};
  options.device = device;
  options.precision = precision;
  options.gemm = LN_GEMM_OWN;
  ln_context* context = nullptr;
  Outcome outcome;
  outcome.status = ln_context_create(&options, &context);
  if (outcome.status != LN_OK) {
    outcome.error = ln_last_error(nullptr);
    return outcome;
  }
  {
    Memory memory;
    outcome.status = tested.run(context, memory);
    outcome.error = ln_last_error(context);
    wait();
    if (outcome.status == LN_OK) outcome.bytes = memory.bytes();
  }
  ln_context_destroy(context);
  return outcome;
}

}  // namespace

}  // namespace ln::smallest

int main(int count, char** arguments) {
  using namespace ln::smallest;
  const std::string wanted = count > 1 ? arguments[1] : "";
#if defined(LN_EMULATED)
  const int32_t second_device = 1;
#else
  const int32_t second_device = 0;
#endif
  int failures = 0, runs = 0;
  for (const Case& tested : cases()) {
    if (std::string(tested.name).find(wanted) == std::string::npos) continue;
    for (int32_t precision : {LN_PRECISION_BF16, LN_PRECISION_F32}) {
      if (precision == LN_PRECISION_F32 && !tested.multiplies) continue;
      const Outcome first = run(tested, 0, precision), second = run(tested, second_device, precision);
      const bool same = first.status == LN_OK && second.status == LN_OK && first.bytes == second.bytes;
      std::printf("%-28s %s %s\n", tested.name, precision == LN_PRECISION_BF16 ? "bf16" : "f32 ",
                  same ? "ok" : "FAILED");
      if (first.status != LN_OK) std::printf("  %s\n", first.error.c_str());
      std::fflush(stdout);
      failures += same ? 0 : 1;
      ++runs;
    }
  }
  std::printf("%d runs, %d failed\n", runs, failures);
  return failures == 0 && runs > 0 ? 0 : 1;
}
