// The layers of ln_joint_linear_fwd and ln_joint_linear_bwd as messages name them.
#pragma once

#include "lora_native.h"

namespace ln {

inline constexpr const char* kJointLayerNames[LN_JOINT_LAYERS] = {"layers[0]", "layers[1]", "layers[2]", "layers[3]"};

}  // namespace ln
