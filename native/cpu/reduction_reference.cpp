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

void column_sums(const float* x, float* result, int64_t rows, int64_t columns, int64_t first, int64_t last) {
  for (int64_t c = first; c < last; ++c) {
    double total = 0;
    for (int64_t r = 0; r < rows; ++r) total += static_cast<double>(x[r * columns + c]);
    result[c] += static_cast<float>(total);
  }
}

}  // namespace

const ReductionKernels& reduction_kernels() {
  static const ReductionKernels kernels = {sum, sum_of_squares, column_sums};
  return kernels;
}

}  // namespace ln::cpu::reference
