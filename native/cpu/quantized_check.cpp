#include "quantized_check.hpp"

#include <string>

namespace ln::cpu {

namespace {

/// "weight.codes", made only where something is refused.
template <typename Check>
void field(bool right, const char* weight, const char* name, const Check& refuse) {
  if (right) return;
  refuse((std::string(weight) + "." + name).c_str());
}

bool aligned(const void* pointer, uintptr_t bytes) {
  return pointer != nullptr && reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

bool power_of_two(int64_t value, int64_t least, int64_t most) {
  return value >= least && value <= most && (value & (value - 1)) == 0;
}

}  // namespace

void require_quantized(const Checker& check, const char* name, const ln_quantized& weight) {
  constexpr int64_t kLargestNested = int64_t{1} << 30;
  const bool nested = weight.nested_absmax != nullptr;
  const uintptr_t absmax_bytes = nested ? 1 : sizeof(float);
  field(weight.elements >= 1, name, "elements", [&](const char* at) { check.at_least(at, weight.elements, 1); });
  field(power_of_two(weight.block, 32, 4096), name, "block",
        [&](const char* at) { check.power_of_two(at, weight.block, 32, 4096); });
  field(aligned(weight.codes, 1), name, "codes", [&](const char* at) { check.pointer(at, weight.codes, 1); });
  field(aligned(weight.absmax, absmax_bytes), name, "absmax",
        [&](const char* at) { check.pointer(at, weight.absmax, static_cast<int64_t>(absmax_bytes)); });
  if (!nested) return;
  field(aligned(weight.nested_absmax, 4), name, "nested_absmax",
        [&](const char* at) { check.pointer(at, weight.nested_absmax); });
  field(aligned(weight.nested_code, 4), name, "nested_code",
        [&](const char* at) { check.pointer(at, weight.nested_code); });
  field(power_of_two(weight.nested_block, 1, kLargestNested), name, "nested_block",
        [&](const char* at) { check.power_of_two(at, weight.nested_block, 1, kLargestNested); });
  field(weight.offset - weight.offset == 0, name, "offset",
        [&](const char* at) { check.finite(at, static_cast<double>(weight.offset)); });
}

void require_quantized(const Checker& check, const char* name, const void* weight, int32_t dtype, int64_t elements) {
  if (!is_quantized(dtype)) return;
  const ln_quantized& described = *static_cast<const ln_quantized*>(weight);
  require_quantized(check, name, described);
  if (described.elements != elements) {
    check.fail(LN_INVALID_ARGUMENT, std::string(name) + ".elements is " + std::to_string(described.elements) +
                                        ", must be " + std::to_string(elements));
  }
}

}  // namespace ln::cpu
