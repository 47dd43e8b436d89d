#include "reduction.hpp"

namespace ln::cpu::reference {

namespace {

double in_order(const double* lane) {
  double total = 0;
  for (int64_t l = 0; l < kLanes; ++l) total += lane[l];
  return total;
}

double sum(const float* x, int64_t n) {
  double lane[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lane[i % kLanes] += static_cast<double>(x[i]);
  return in_order(lane);
}

double sum_of_squares(const float* x, int64_t n) {
  double lane[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lane[i % kLanes] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return in_order(lane);
}

}  // namespace

const ReductionKernels& reduction_kernels() {
  static const ReductionKernels kernels = {sum, sum_of_squares};
  return kernels;
}

}  // namespace ln::cpu::reference
