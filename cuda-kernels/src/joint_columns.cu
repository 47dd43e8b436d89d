// From the sums of a product that all layers' adapters share to each layer's own result. Bound by memory, with four
// bytes of each slice and of the result per element: a hundredth of what the product reads.
#include "joint_columns.hpp"

namespace ln::cuda {

namespace {

constexpr int kThreads = 256;

struct JointResults {
  JointResult of[LN_JOINT_LAYERS];
  int64_t first[LN_JOINT_LAYERS];  // that no column reaches for layers that are not there
  const float* sums;
  int64_t slices, m, n;
  uint16_t* copy;
};

/// A thread has two columns, which are of one layer.
template <bool kAdds>
__global__ void __launch_bounds__(kThreads) write_joint_columns(JointResults args) {
  const int64_t count = args.m * args.n, step = int64_t{gridDim.x} * kThreads * 2;
  for (int64_t e = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * 2; e < count; e += step) {
    float2 sum = *reinterpret_cast<const float2*>(args.sums + e);
    for (int64_t s = 1; s < args.slices; ++s) {
      const float2 of_slice = *reinterpret_cast<const float2*>(args.sums + s * count + e);
      sum.x += of_slice.x;
      sum.y += of_slice.y;
    }
    if (args.copy != nullptr) *reinterpret_cast<uint32_t*>(args.copy + e) = simt::pack_bf16(sum.x, sum.y);
    const int64_t i = e / args.n;
    int64_t j = e - i * args.n, first = 0;
    JointResult result = args.of[0];
#pragma unroll
    for (int l = 1; l < LN_JOINT_LAYERS; ++l) {
      if (j >= args.first[l]) {
        result = args.of[l];
        first = args.first[l];
      }
    }
    j -= first;
    if (result.at == nullptr || j >= result.columns) continue;
    float* const to = result.at + i * result.row_stride + j * result.column_stride;
    *to = kAdds ? *to + sum.x : sum.x;
    if (j + 1 == result.columns) continue;
    float* const next = to + result.column_stride;
    *next = kAdds ? *next + sum.y : sum.y;
  }
}

}  // namespace

void write_joint_results(const ln_context& context, const char* name, const Sums& sums, int64_t m,
                         const JointColumns& columns, const JointResult* results, bool adds, void* copy) {
  JointResults args = {};
  for (int l = 0; l < LN_JOINT_LAYERS; ++l) {
    if (l < columns.layers) args.of[l] = results[l];
    args.first[l] = l < columns.layers ? columns.first[l] : columns.total();
  }
  args.sums = sums.at;
  args.slices = sums.slices;
  args.m = m;
  args.n = columns.total();
  args.copy = static_cast<uint16_t*>(copy);
  launch(context, name, adds ? write_joint_columns<true> : write_joint_columns<false>,
         blocks_for(args.m * args.n, kThreads * 2), kThreads, 0, args);
}

}  // namespace ln::cuda
