#include <cmath>

#include "norm.hpp"
#include "reference_element.hpp"

namespace ln::cpu::reference {

namespace {

void forward(const ln_rmsnorm_fwd_args& args, int64_t first, int64_t last) {
  const int64_t width = args.width;
  for (int64_t r = first; r < last; ++r) {
    const float* x = args.x + r * width;
    const float* residual = args.residual == nullptr ? nullptr : args.residual + r * width;
    float* y = args.y + r * width;
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) {
      const float z = residual == nullptr ? x[i] : x[i] + residual[i];
      squares += static_cast<double>(z) * z;
    }
    const float rstd = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(width) + args.epsilon));
    for (int64_t i = 0; i < width; ++i) {
      const float z = residual == nullptr ? x[i] : x[i] + residual[i];
      if (args.sum != nullptr) args.sum[r * width + i] = z;
      y[i] = z * rstd * weight_at(args.weight, args.weight_dtype, i);
    }
    if (args.rstd != nullptr) args.rstd[r] = rstd;
  }
}

void backward(const ln_rmsnorm_bwd_args& args, int64_t first, int64_t last) {
  const int64_t width = args.width;
  for (int64_t r = first; r < last; ++r) {
    const float* dy = args.dy + r * width;
    const float* z = args.z + r * width;
    const float rstd = args.rstd[r];
    double dot = 0;
    for (int64_t i = 0; i < width; ++i)
      dot += static_cast<double>(dy[i] * weight_at(args.weight, args.weight_dtype, i)) * (z[i] * rstd);
    const float mean = static_cast<float>(dot / static_cast<double>(width));
    for (int64_t i = 0; i < width; ++i) {
      const float d = rstd * (dy[i] * weight_at(args.weight, args.weight_dtype, i) - z[i] * rstd * mean);
      args.dx[r * width + i] = args.dresidual == nullptr ? d : d + args.dresidual[r * width + i];
    }
  }
}

void weight_gradient(const ln_rmsnorm_bwd_args& args, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; ++i) {
    double total = 0;
    for (int64_t r = 0; r < args.rows; ++r) {
      const int64_t at = r * args.width + i;
      total += static_cast<double>(args.dy[at]) * (args.z[at] * args.rstd[r]);
    }
    args.grad_weight[i] += static_cast<float>(total);
  }
}

}  // namespace

const NormKernels& norm_kernels() {
  static const NormKernels kernels = {forward, backward, weight_gradient};
  return kernels;
}

}  // namespace ln::cpu::reference
