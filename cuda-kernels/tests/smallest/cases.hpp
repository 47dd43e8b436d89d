// The cases of smallest_shapes.
#pragma once

#include <vector>

#include "device_memory.hpp"
#include "lora_native.h"

namespace ln::smallest {

struct Case {
  const char* name;
  bool multiplies;  // whether the precision of products matters
  int32_t (*run)(ln_context* context, Memory& memory);
};

const std::vector<Case>& cases();

}  // namespace ln::smallest
