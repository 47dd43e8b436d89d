// ln_joint_linear: the layers one after the other.
#include <algorithm>

#include "../../native/abi/joint_layers.hpp"
#include "scratch.hpp"

namespace ln::cuda {

int64_t joint_linear_fwd_scratch(const ln_context& context, const ln_joint_linear_fwd_args& args) {
  int64_t most = 0;
  for (int64_t i = 0; i < args.count; ++i) most = std::max(most, linear_fwd_scratch(context, args.layers[i]));
  return most;
}

int64_t joint_linear_bwd_scratch(const ln_context& context, const ln_joint_linear_bwd_args& args) {
  int64_t most = 0;
  for (int64_t i = 0; i < args.count; ++i) most = std::max(most, linear_bwd_scratch(context, args.layers[i]));
  return most;
}

}  // namespace ln::cuda

namespace ln::backend {

void joint_linear_fwd(ln_context& context, const ln_joint_linear_fwd_args& args, const Checker& check) {
  require_scratch(context, check, cuda::joint_linear_fwd_scratch(context, args));
  for (int64_t i = 0; i < args.count; ++i) linear_fwd(context, args.layers[i], check.of(kJointLayerNames[i]));
}

void joint_linear_bwd(ln_context& context, const ln_joint_linear_bwd_args& args, const Checker& check) {
  require_scratch(context, check, cuda::joint_linear_bwd_scratch(context, args));
  for (int64_t i = 0; i < args.count; ++i) {
    ln_linear_bwd_args layer = args.layers[i];
    if (i > 0) layer.accumulate = 1;
    linear_bwd(context, layer, check.of(kJointLayerNames[i]));
  }
}

}  // namespace ln::backend
