// The adapters of layers that share x, side by side as one: the columns of their u and v, the rows of their A. Each has
// a multiple of eight columns, so that no chunk of a product's operand is of two; those behind its rank are zeros.
#pragma once

#include "products.hpp"

namespace ln::cuda {

struct JointColumns {
  int layers, adapters;  // adapters: layers that have one
  int64_t first[LN_JOINT_LAYERS + 1];

  int64_t total() const { return first[layers]; }
};

template <class Args>
JointColumns joint_columns(const Args& args) {
  JointColumns columns = {};
  columns.layers = static_cast<int>(args.count);
  for (int l = 0; l < columns.layers; ++l) {
    const int64_t rank = args.layers[l].rank;
    columns.adapters += rank > 0 ? 1 : 0;
    columns.first[l + 1] = columns.first[l] + copy_ld(rank);
  }
  return columns;
}

/// Element (i, j) of the result is at[i * row_stride + j * column_stride]; at NULL: not wanted.
struct JointResult {
  float* at;
  int64_t columns, row_stride, column_stride;
};

/// Slices' sums [m, columns.total()] added in order, each layer's columns written to its own result, or added to it;
/// copy: NULL, or all of them as they lie, in bfloat16.
void write_joint_results(const ln_context& context, const char* name, const Sums& sums, int64_t m,
                         const JointColumns& columns, const JointResult* results, bool adds, void* copy);

}  // namespace ln::cuda
