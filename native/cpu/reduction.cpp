#include "reduction.hpp"

#include <algorithm>

#include "cpu_backend.hpp"

namespace ln::backend {

namespace {

// At most so many partial sums, which lie on the stack; their borders depend on n alone.
constexpr int64_t kSegments = 256;
constexpr int64_t kLeastSegment = 4096;

// One cache line of every row.
constexpr int64_t kColumnsPerTask = 16;

double reduce(ln_context& context, double (*kernel)(const float*, int64_t), const float* x, int64_t n) {
  const int64_t even = (n + kSegments - 1) / kSegments;
  const int64_t segment = std::max(kLeastSegment, (even + cpu::kLanes - 1) / cpu::kLanes * cpu::kLanes);
  double partial[kSegments] = {};
  cpu::pool(context).ranges(n, segment, [&](int64_t first, int64_t last, int) {
    partial[first / segment] = kernel(x + first, last - first);
  });
  double total = 0;
  for (double part : partial) total += part;
  return total;
}

}  // namespace

void sum(ln_context& context, const float* x, int64_t n, double* result) {
  *result = reduce(context, cpu::reduction_kernels(cpu::tier(context)).sum, x, n);
}

void sum_of_squares(ln_context& context, const float* x, int64_t n, double* result) {
  *result = reduce(context, cpu::reduction_kernels(cpu::tier(context)).sum_of_squares, x, n);
}

void column_sums(ln_context& context, const float* x, float* result, int64_t rows, int64_t columns) {
  const cpu::ReductionKernels& kernels = cpu::reduction_kernels(cpu::tier(context));
  cpu::pool(context).ranges(columns, kColumnsPerTask, [&](int64_t first, int64_t last, int) {
    kernels.column_sums(x, result, rows, columns, first, last);
  });
}

}  // namespace ln::backend
